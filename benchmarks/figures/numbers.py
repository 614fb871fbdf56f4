"""The numbers behind the figures: sizes and label counts of clients, distances between them, curves, and who is online when."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import jensenshannon

from mpifl.datasets.dataset import Dataset, Part
from mpifl.seeds import Purpose, generator
from mpifl.traces.trace import Trace

SEED = 2022
STEPS = 200
CHUNK_CELLS = 1 << 20


def client_sizes(part: Part) -> np.ndarray:
    """Samples of each client, (clients,) int64."""
    return np.diff(part.offsets)


def categories(data: Dataset, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """What is to be predicted in a part: the label of every sample, or its tokens but the first; and of which client each is.

    Both (n,) int64.
    """
    client = np.repeat(np.arange(part.clients), client_sizes(part))
    if part.y is not None:
        return np.asarray(part.y, np.int64), client
    begin = part.begin if part.begin is not None else np.arange(part.samples + 1) * part.x.shape[1]
    predicted = np.ones(begin[-1], bool)
    predicted[begin[:-1]] = False
    return np.asarray(part.x, np.int64).reshape(-1)[predicted], np.repeat(
        client, np.diff(begin) - 1
    )


def counts(category: np.ndarray, client: np.ndarray, clients: int, outputs: int) -> np.ndarray:
    """How often each client has each category, (clients, outputs) int64."""
    return np.bincount(client * outputs + category, minlength=clients * outputs).reshape(
        clients, outputs
    )


def dealt_at_random(category: np.ndarray) -> np.ndarray:
    """The same categories in a random order: what clients of the same sizes would hold if who they are did not matter."""
    return generator(SEED, Purpose.PARTITION).permutation(category)


def pairs(clients: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs first < second of different clients, (pairs,) int64 each: all, or ``most`` of them at random, none twice."""
    total = clients * (clients - 1) // 2
    number = (
        np.arange(total)
        if total <= most
        else generator(SEED, Purpose.SELECTION).choice(total, most, replace=False)
    )
    number = np.sort(number)
    # Pair (first, second) has the number second * (second - 1) / 2 + first; the root may be off by its rounding.
    second = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    second -= second * (second - 1) // 2 > number
    second += second * (second + 1) // 2 <= number
    return number - second * (second - 1) // 2, second


def js_distances(held: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance of the rows of ``held`` (clients, outputs) in pairs, (pairs,) float64 from 0 to 1.

    It is scipy's: the square root of the divergence, here with logarithms of base 2, so that 1 is nothing in common.
    """
    rows = max(1, CHUNK_CELLS // held.shape[1])
    chunks = [slice(start, start + rows) for start in range(0, len(first), rows)]
    found = [
        jensenshannon(held[first[part]], held[second[part]], base=2, axis=1) for part in chunks
    ]
    # Rows that are the same up to rounding may have a divergence a bit below 0, whose root is not a number.
    return np.nan_to_num(np.concatenate([np.empty(0), *found]), nan=0.0)


def curve(values: np.ndarray) -> np.ndarray:
    """The empirical distribution at STEPS shares and 0: value k is the least that a share of k / STEPS does not exceed."""
    return np.quantile(values, np.linspace(0, 1, STEPS + 1), method="inverted_cdf")


def online_share(trace: Trace, edges: np.ndarray) -> np.ndarray:
    """Share of the patterns' time online between each two ``edges`` (n + 1,) in seconds, (n,); patterns repeat as they do."""
    lasts = trace.end - trace.start
    period = np.repeat(trace.period, np.diff(trace.offsets))
    online = [
        (moment // period * lasts + np.clip(moment % period - trace.start, 0, lasts)).sum()
        for moment in edges
    ]
    return np.diff(online) / (np.diff(edges) * trace.patterns)
