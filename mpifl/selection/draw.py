"""Draws of clients with unequal probabilities."""

from __future__ import annotations

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
