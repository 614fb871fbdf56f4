"""What several partitioners do: draw shares, turn them into whole numbers of samples, hand samples out. All of it ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpifl.errors import InputError


def dirichlet(alpha: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Shares (kinds,) float64 drawn from Dirichlet(alpha). Raises InputError when alpha is beyond what floats can hold."""
    shares: np.ndarray = random.dirichlet(alpha)
    if not abs(shares.sum() - 1) < 1e-6:
        raise InputError(
            f"data.partition: no shares can be drawn with Dirichlet parameters of {alpha.min():g} to {alpha.max():g};"
            " allowed: about 1e-300 to 1e300 in all"
        )
    return shares


def drawn(count: int, alpha: np.ndarray, stock: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """How many of each kind (kinds,) int64 one client gets of the ``stock`` (kinds,) that is left; count <= stock.sum().

    The client's mixture is drawn from Dirichlet(alpha) over the kinds that are left. ``count`` kinds are then drawn from it one
    after another, without replacement: a kind that has run out is left out, and the others' shares are scaled to sum to 1.

    Drawn in bulk it is the same: what goes beyond the stock of a kind is drawn again among the others, until nothing is left
    to draw, and every repetition has exhausted a kind. To leave a kind out of Dirichlet(alpha) is the same as to draw its share
    and scale the others, for those, scaled, are Dirichlet and independent of it. So the shares that are left may also be drawn
    anew when floats made all of them 0.
    """
    left = stock.copy()
    kinds = np.flatnonzero(left)
    shares = dirichlet(alpha[kinds], random)
    while count:
        there = left[kinds] > 0
        kinds, shares = kinds[there], shares[there]
        if not shares.sum() > 0:
            shares = dirichlet(alpha[kinds], random)
        got = np.minimum(random.multinomial(count, shares / shares.sum()), left[kinds])
        left[kinds] -= got
        count -= int(got.sum())
    return stock - left


def equal_sizes(samples: int, clients: int) -> np.ndarray:
    """Sizes (clients,) int64 that differ by one at most and sum to ``samples``; the first are the larger ones."""
    return (samples + clients - 1 - np.arange(clients)) // clients


def apportioned(weights: np.ndarray, samples: int, least: int) -> np.ndarray:
    """Whole sizes (clients,) int64, in proportion to ``weights`` (clients,), that sum to ``samples``, none below ``least``.

    Exact sizes would be max(least, scale x weight), with the scale at which they sum to ``samples``; they are rounded up or
    down so that the sum is kept. Needs samples >= clients x least and a weight above 0.
    """
    weights = weights / weights.max()  # so that no scale overflows
    ascending = np.sort(weights)
    heavier = np.cumsum(ascending[::-1])[::-1]  # weight of this one and all that are heavier
    scale = (samples - least * np.arange(len(weights))) / heavier  # were all lighter ones raised to least
    enough = ascending * scale >= least
    enough[-1] = True
    over = np.maximum(weights * scale[np.argmax(enough)] - least, 0)
    until = np.minimum(np.floor(np.cumsum(over) + 0.5), samples - least * len(weights)).astype(np.int64)
    until[-1] = samples - least * len(weights)
    return least + np.diff(until, prepend=0)


def dealt_at_random(sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The client (samples,) int64 of each sample, at random, when client k gets ``sizes[k]`` of them."""
    client = np.empty(int(sizes.sum()), np.int64)
    client[random.permutation(len(client))] = np.repeat(np.arange(len(sizes)), sizes)
    return client


def shuffled_by(kind: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The rows (samples,) int64 sorted by ``kind`` (samples,), those of one kind at random."""
    rows = random.permutation(len(kind))
    return rows[np.argsort(kind[rows], kind="stable")]


def dealt_in_turn(
    kind: np.ndarray, clients: int, take: Callable[[int, np.ndarray], np.ndarray], random: np.random.Generator
) -> np.ndarray:
    """The client (samples,) int64 of each sample, when clients take equally many, one client after the other.

    ``kind`` (samples,) are numbers from 0 on. ``take(size, left)`` says how many of each kind (kinds,) a client takes of what
    is left of each; which samples of a kind those are is drawn.
    """
    left = np.bincount(kind)
    hands = []
    for client, size in enumerate(equal_sizes(len(kind), clients)):
        taken = take(int(size), left)
        left = left - taken
        kinds = np.flatnonzero(taken)
        hands.append((kinds, np.full(len(kinds), client), taken[kinds]))
    kinds, owner, amount = (np.concatenate(column) for column in zip(*hands, strict=True))
    return handed_out(shuffled_by(kind, random), kinds, owner, amount)


def handed_out(rows: np.ndarray, kind: np.ndarray, client: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """The client (samples,) int64 of each sample, when ``client[i]`` gets ``amount[i]`` of the kind ``kind[i]``.

    ``rows`` are the samples sorted by kind; all of them are handed out, each kind's in the order of the three arrays.
    """
    order = np.argsort(kind, kind="stable")
    result = np.empty(len(rows), np.int64)
    result[rows] = np.repeat(client[order], amount[order])
    return result


def even_amounts(kind: np.ndarray, stock: np.ndarray) -> np.ndarray:
    """How much each holder gets when the stock of each kind is shared evenly; ``kind`` (holders,) is what each one holds.

    Amounts of a kind differ by one at most; every kind in stock has a holder.
    """
    holders = np.bincount(kind, minlength=len(stock))
    place = np.empty(len(kind), np.int64)  # of a holder among those of its kind
    place[np.argsort(kind, kind="stable")] = np.arange(len(kind)) - np.repeat(np.cumsum(holders) - holders, holders)
    return (stock[kind] + holders[kind] - 1 - place) // holders[kind]
