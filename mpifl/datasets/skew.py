"""How unlike the clients of a data set are: in the number of their samples, and in their labels.

``docs/data.md`` has the formulas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

BLOCK_SAMPLES = 1 << 22
BLOCK_CELLS = 1 << 22


@dataclass(frozen=True)
class LabelCounts:
    """How many samples of each label each client holds, without the zeros.

    Client ``client[i]`` holds ``count[i]`` samples of label ``label[i]``, all (entries,) int64,
    sorted by client and then by label. ``labels`` is the number of labels that there are.
    """

    client: np.ndarray
    label: np.ndarray
    count: np.ndarray
    labels: int

    def of_all(self) -> np.ndarray:
        """Return the number of samples of each label (labels,) int64."""
        counts = np.zeros(self.labels, np.int64)
        np.add.at(counts, self.label, self.count)
        return counts

    def holders(self) -> np.ndarray:
        """Return the number of clients that hold each label (labels,) int64."""
        return np.bincount(self.label, minlength=self.labels)


@dataclass(frozen=True)
class Holdings:
    """What clients hold: the samples of each, ``sizes`` (clients,) int64, and their labels.

    ``labels`` is None where the data have no classes.
    """

    sizes: np.ndarray
    labels: LabelCounts | None = None

    @property
    def clients(self) -> int:
        """Number of clients."""
        return len(self.sizes)

    @property
    def samples(self) -> int:
        """Number of samples of all clients."""
        return int(self.sizes.sum())


@dataclass(frozen=True)
class LabelSkew:
    """Means over clients of what their labels are like.

    Attributes:
        held: Labels of which a client holds a sample.
        effective: The exponential of the entropy of a client's labels.
        effective_of_all: The same of the samples of all clients together.
        distance: Total variation distance, 0 to 1, of a client's labels from those of all.
        distance_at_random: What ``distance`` would be if each client had drawn its samples from
            all of them, uniformly and with replacement.
    """

    held: float
    effective: float
    effective_of_all: float
    distance: float
    distance_at_random: float


def count_labels(y: np.ndarray, offsets: np.ndarray, labels: int) -> LabelCounts:
    """Return the labels that each client holds, in O(samples) time, block by block.

    Args:
        y: (samples,) int64 labels, 0 to ``labels`` - 1.
        offsets: (clients + 1,) int64; client k holds samples offsets[k] to offsets[k + 1].
        labels: Number of labels.
    """
    keys: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    first = 0
    while first < len(offsets) - 1:
        fitting = int(np.searchsorted(offsets, offsets[first] + BLOCK_SAMPLES, side="right")) - 1
        last = max(first + 1, fitting)
        client = np.repeat(np.arange(first, last), np.diff(offsets[first : last + 1]))
        key = client * labels + y[offsets[first] : offsets[last]]

        found, count = np.unique(key, return_counts=True)
        keys.append(found)
        counts.append(count)
        first = last

    client, label = np.divmod(np.concatenate(keys), labels)
    return LabelCounts(client, label, np.concatenate(counts), labels)


def most_frequent(counts: np.ndarray, most: int) -> np.ndarray:
    """Return the ``most`` labels of the largest counts (labels,), in the order of the labels."""
    order = np.argsort(-counts, kind="stable")[:most]
    labels: np.ndarray = np.sort(order)
    return labels


def label_skew(holdings: Holdings) -> LabelSkew | None:
    """Return how unlike the clients' labels are; None where there are no labels."""
    labels = holdings.labels
    if labels is None:
        return None

    clients = holdings.clients
    whole = labels.of_all() / labels.count.sum()
    share = labels.count / holdings.sizes[labels.client]
    entropy = np.bincount(labels.client, -xlogy(share, share), clients)

    # A label that a client does not hold is as far away as its share of all: together 1 less the
    # shares of those that it holds.
    of_whole = whole[labels.label]
    missing = 1 - np.bincount(labels.client, of_whole, clients)
    apart = np.bincount(labels.client, np.abs(share - of_whole), clients)
    return LabelSkew(
        held=len(labels.client) / clients,
        effective=float(np.exp(entropy).mean()),
        effective_of_all=float(np.exp(-xlogy(whole, whole).sum())),
        distance=float((apart + missing).mean() / 2),
        distance_at_random=_distance_at_random(holdings.sizes, whole[whole > 0]),
    )


def _distance_at_random(sizes: np.ndarray, share: np.ndarray) -> float:
    """Return the mean total variation distance of multinomial draws of ``sizes`` from ``share``.

    Half the sum of the mean absolute deviations of binomials, by De Moivre's formula: with
    v = floor(n p) + 1 the deviation of Binomial(n, p) is 2 v P(X = v) (1 - p).
    """
    size, clients = np.unique(sizes, return_counts=True)
    total = 0.0
    rows = max(1, BLOCK_CELLS // len(share))
    for start in range(0, len(size), rows):
        n = size[start : start + rows, None].astype(float)
        v = np.floor(n * share) + 1
        chance = gammaln(n + 1) - gammaln(v + 1) - gammaln(n - v + 1)
        deviation = 2 * v * np.exp(chance + xlogy(v, share) + xlog1py(n - v + 1, -share))
        total += float(clients[start : start + rows] @ (deviation / n).sum(axis=1) / 2)
    return total / len(sizes)


def share_of_largest(sizes: np.ndarray, part: float = 0.1) -> float:
    """Return the share of all samples that the largest clients hold.

    These are ``part`` of all clients, rounded up.
    """
    largest = max(1, int(np.ceil(part * len(sizes) - 1e-9)))
    return float(np.sort(sizes)[-largest:].sum() / sizes.sum())


def gini(sizes: np.ndarray) -> float:
    """Return the Gini coefficient of sizes (clients,): 0 where all are equal, below 1."""
    ordered = np.sort(sizes).astype(float)
    rank = np.arange(1, len(ordered) + 1)
    return float((2 * rank - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


def size_bins(low: int, high: int, most: int) -> np.ndarray:
    """Return integer edges (bins + 1,) of at most ``most`` bins for ``low`` to ``high`` samples.

    Bin k holds sizes from edge k to below edge k + 1; the last edge may lie beyond ``high`` + 1.
    Bins are equally wide. Where ``high`` is many times ``low`` (which is at least 1), they become
    wider by the same factor, as far as whole numbers allow. No bin is narrower than the one before:
    it would look like a gap in the sizes.
    """
    if high < 20 * low or high - low < most:
        width = -(-(high + 1 - low) // most)
        return np.arange(low, high + 1 + width, width)

    growth = math.log((high + 1) / low) / most
    edges = [low]
    while edges[-1] <= high:
        edges.append(edges[-1] + math.ceil(edges[-1] * math.expm1(growth) - 1e-9))
    return np.array(edges)
