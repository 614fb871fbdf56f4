"""Draws of clients with unequal probabilities, and values by their place in order."""

from __future__ import annotations

import math

import numpy as np


def drawn_by_weight(
    clients: np.ndarray, weight: np.ndarray, wanted: int, random: np.random.Generator
) -> np.ndarray:
    """Return ``wanted`` of ``clients``, one after the other in proportion to the weights left.

    Args:
        clients: Whom to draw from (n,), int64.
        weight: Their weights (n,), not negative.
        wanted: How many, at most n.
        random: What to draw with.

    Returns:
        The clients in the order drawn; the first ones where fewer than ``wanted`` have a weight.
    """
    if not wanted or np.count_nonzero(weight) < wanted:
        return clients[:wanted]
    drawn: np.ndarray = random.choice(clients, wanted, replace=False, p=weight / weight.sum())
    return drawn


def at_place(values: np.ndarray, place: int) -> float:
    """Return the value at ``place`` (from 0) of values (n,) in ascending order; the last beyond it.

    Infinity if there are none. O(n): nothing is sorted.
    """
    if not len(values):
        return math.inf
    place = min(place, len(values) - 1)
    return float(np.partition(values, place)[place])
