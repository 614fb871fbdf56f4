"""Steps that several partitioners share: draw shares, round them, hand samples out.

None of them rejects and draws again without an end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpifl.errors import InputError


def dirichlet(alpha: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return shares (kinds,) float64 drawn from Dirichlet(alpha).

    Raises InputError when alpha is too small or too large for floats.
    """
    shares: np.ndarray = random.dirichlet(alpha)
    if not abs(shares.sum() - 1) < 1e-6:
        raise InputError(
            "data.partition: no shares can be drawn with Dirichlet parameters of"
            f" {alpha.min():g} to {alpha.max():g}; allowed: about 1e-300 to 1e300 in all"
        )
    return shares


def drawn(
    count: int, alpha: np.ndarray, stock: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Return how many samples of each kind (kinds,) int64 one client gets, ``count`` in all.

    ``stock`` (kinds,) is what is left of each kind; count <= stock.sum(). The client's mixture is
    drawn from Dirichlet(alpha) over the kinds that are left. ``count`` kinds are drawn from it one
    after another, without replacement: a kind that has run out is removed, and the shares of the
    others are scaled to sum to 1.

    Drawing in bulk has the same distribution: what exceeds the stock of a kind is drawn again among
    the others. Every repetition exhausts a kind, so it ends. To leave a kind out of
    Dirichlet(alpha) is the same as to draw its share and scale the others, because the others,
    scaled, are Dirichlet and independent of it. So the remaining shares may also be drawn anew when
    floats rounded all of them to 0.
    """
    left = stock.copy()
    kinds = np.flatnonzero(left)
    shares = dirichlet(alpha[kinds], random)
    while count:
        in_stock = left[kinds] > 0
        kinds = kinds[in_stock]
        shares = shares[in_stock]
        if not shares.sum() > 0:
            shares = dirichlet(alpha[kinds], random)

        got = np.minimum(random.multinomial(count, shares / shares.sum()), left[kinds])
        left[kinds] -= got
        count -= int(got.sum())
    return stock - left


def equal_sizes(samples: int, clients: int) -> np.ndarray:
    """Return sizes (clients,) int64 that sum to ``samples`` and differ by one at most.

    The larger ones come first.
    """
    return (samples + clients - 1 - np.arange(clients)) // clients


def apportioned(weights: np.ndarray, samples: int, least: int) -> np.ndarray:
    """Return whole sizes (clients,) int64 in proportion to ``weights`` (clients,).

    They sum to ``samples`` and none is below ``least``. Exact sizes would be
    max(least, scale x weight), with the scale at which they sum to ``samples``; they are rounded up
    or down so that the sum is kept. Needs samples >= clients x least and a weight above 0.
    """
    weights = weights / weights.max()  # so that no scale overflows
    ascending = np.sort(weights)
    heavier = np.cumsum(ascending[::-1])[::-1]  # weight of this one and all that are heavier
    # Scale k is right if all weights below the k-th are raised to least.
    scale = (samples - least * np.arange(len(weights))) / heavier
    enough = ascending * scale >= least
    enough[-1] = True

    above_least = np.maximum(weights * scale[np.argmax(enough)] - least, 0)
    total = samples - least * len(weights)
    until = np.minimum(np.floor(np.cumsum(above_least) + 0.5), total).astype(np.int64)
    until[-1] = total
    return least + np.diff(until, prepend=0)


def dealt_at_random(sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the client (samples,) int64 of each sample, when client k gets ``sizes[k]`` of them.

    Which samples those are is drawn.
    """
    client = np.empty(int(sizes.sum()), np.int64)
    client[random.permutation(len(client))] = np.repeat(np.arange(len(sizes)), sizes)
    return client


def shuffled_by(kind: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the rows (samples,) int64 sorted by ``kind`` (samples,), in random order in a kind."""
    rows = random.permutation(len(kind))
    return rows[np.argsort(kind[rows], kind="stable")]


def dealt_in_turn(
    kind: np.ndarray,
    clients: int,
    take: Callable[[int, np.ndarray], np.ndarray],
    random: np.random.Generator,
) -> np.ndarray:
    """Return the client (samples,) int64 of each sample, when clients take samples in turn.

    Clients take equally many, one client after the other. ``kind`` (samples,) are numbers from 0
    on. ``take(size, left)`` returns how many of each kind (kinds,) a client takes, ``size`` in all,
    where ``left`` (kinds,) are left; which samples of a kind those are is drawn.
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


def handed_out(
    rows: np.ndarray, kind: np.ndarray, client: np.ndarray, amount: np.ndarray
) -> np.ndarray:
    """Return the client (samples,) int64 of each sample.

    Client ``client[i]`` gets ``amount[i]`` samples of the kind ``kind[i]``. ``rows`` are the
    samples sorted by kind; all are handed out, those of a kind in the order of the three arrays.
    """
    order = np.argsort(kind, kind="stable")
    result = np.empty(len(rows), np.int64)
    result[rows] = np.repeat(client[order], amount[order])
    return result


def even_amounts(kind: np.ndarray, stock: np.ndarray) -> np.ndarray:
    """Return the amount (holders,) of each holder when holders of a kind share its stock evenly.

    ``kind`` (holders,) is the kind of each holder, ``stock`` (kinds,) the stock of each kind.
    Amounts of a kind differ by one at most. Every kind in stock needs a holder.
    """
    holders = np.bincount(kind, minlength=len(stock))
    first = np.repeat(np.cumsum(holders) - holders, holders)
    place = np.empty(len(kind), np.int64)  # of a holder among those of its kind
    place[np.argsort(kind, kind="stable")] = np.arange(len(kind)) - first
    return (stock[kind] + holders[kind] - 1 - place) // holders[kind]
