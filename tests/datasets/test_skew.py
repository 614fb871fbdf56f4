"""How unlike clients are, against dense tables, other formulas and draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mpifl.datasets import skew
from mpifl.datasets.skew import (
    Holdings,
    count_labels,
    gini,
    label_skew,
    share_of_largest,
    size_bins,
)

LABELS = 7


def random_clients(clients: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and labels of clients with label skew; label 3 is nobody's."""
    random = np.random.default_rng(5)
    sizes = random.integers(1, 30, clients)
    mixtures = random.dirichlet(np.full(LABELS, 0.4), clients)
    mixtures[:, 3] = 0
    labels = [
        random.choice(LABELS, size, p=mixture / mixture.sum())
        for size, mixture in zip(sizes, mixtures, strict=True)
    ]
    return sizes, np.concatenate(labels)


def dense(sizes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Samples of each label (clients, LABELS)."""
    ends = np.cumsum(sizes)
    return np.stack(
        [np.bincount(y[e - n : e], minlength=LABELS) for e, n in zip(ends, sizes, strict=True)]
    )


def held(sizes: np.ndarray, y: np.ndarray) -> Holdings:
    return Holdings(sizes, count_labels(y, np.concatenate([[0], np.cumsum(sizes)]), LABELS))


@pytest.mark.parametrize("block", [1, 10, 1 << 22])
def test_labels_are_counted_block_by_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skew, "BLOCK_SAMPLES", block)
    sizes, y = random_clients()
    labels = held(sizes, y).labels
    assert labels is not None
    table = np.zeros((len(sizes), LABELS), np.int64)
    table[labels.client, labels.label] = labels.count
    assert (labels.count > 0).all()
    np.testing.assert_array_equal(table, dense(sizes, y))
    np.testing.assert_array_equal(labels.of_all(), np.bincount(y, minlength=LABELS))
    np.testing.assert_array_equal(labels.holders(), (dense(sizes, y) > 0).sum(axis=0))


def test_measures_of_labels_are_those_of_the_dense_table() -> None:
    sizes, y = random_clients()
    found = label_skew(held(sizes, y))
    assert found is not None
    share = dense(sizes, y) / sizes[:, None]
    whole = np.bincount(y, minlength=LABELS) / len(y)
    assert found.held == pytest.approx((share > 0).sum(axis=1).mean())
    effective = np.exp([stats.entropy(row) for row in share])
    assert found.effective == pytest.approx(effective.mean())
    assert found.effective_of_all == pytest.approx(np.exp(stats.entropy(whole)))
    assert found.distance == pytest.approx(np.abs(share - whole).sum(axis=1).mean() / 2)
    # Another measure of the same thing is never larger (Lin 1991, with base 2).
    divergence = np.array([jensenshannon(row, whole, base=2) ** 2 for row in share])
    assert divergence.mean() <= found.distance


def test_the_distance_at_random_is_that_of_many_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, y = random_clients()
    monkeypatch.setattr(skew, "BLOCK_CELLS", 20)
    found = label_skew(held(sizes, y))
    assert found is not None
    whole = np.bincount(y, minlength=LABELS) / len(y)
    random = np.random.default_rng(1)
    draws = random.multinomial(sizes, whole, (2000, len(sizes)))
    distances = np.abs(draws / sizes[:, None] - whole).sum(axis=2).mean(axis=1) / 2
    deviation = distances.std() / np.sqrt(len(distances))
    assert abs(found.distance_at_random - distances.mean()) < 4 * deviation


def test_extremes_are_what_they_should_be() -> None:
    each_its_own = label_skew(held(np.full(4, 5), np.repeat(np.arange(4), 5)))
    assert each_its_own is not None
    assert (each_its_own.held, each_its_own.effective) == (1, 1)
    assert each_its_own.effective_of_all == pytest.approx(4)
    assert each_its_own.distance == pytest.approx(3 / 4)
    one_label = label_skew(held(np.array([2, 3]), np.full(5, 6)))
    assert one_label is not None
    assert (one_label.distance, one_label.distance_at_random) == (0, 0)
    assert label_skew(Holdings(np.array([1, 2]))) is None


def test_sizes_are_measured_as_by_their_definitions() -> None:
    sizes = np.array([1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
    pairs = np.abs(sizes[:, None] - sizes).sum()
    assert gini(sizes) == pytest.approx(pairs / (2 * len(sizes) * sizes.sum()))
    assert gini(np.full(9, 4)) == 0
    assert share_of_largest(sizes) == (89 + 55) / sizes.sum()  # a tenth of 11, rounded up
    assert share_of_largest(np.arange(1, 11)) == 10 / 55
    assert share_of_largest(np.array([7])) == 1


@pytest.mark.parametrize(
    ("low", "high"),
    [(1, 1), (3, 9), (1, 12), (1, 19), (1, 20), (5, 99), (7, 139), (9, 200), (1, 10**6)],
)
def test_every_size_is_in_one_bin_and_no_bin_is_narrower_than_the_one_before(
    low: int, high: int
) -> None:
    edges = size_bins(low, high, 12)
    widths = np.diff(edges)
    assert 2 <= len(edges) <= 13
    assert edges[0] == low
    assert edges[-2] <= high < edges[-1]
    assert (widths > 0).all()
    assert (np.diff(widths) >= 0).all()
    if high < 20 * low:
        assert len(set(widths.tolist())) == 1
