"""Equal shares at random."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mpifl.datasets.partitioners.iid import Iid
from tests.datasets.partitioners.dealers import deal, entropy_bits, histogram, labels


@given(samples=st.integers(1, 300), data=st.data())
def test_sizes_differ_by_one_at_most(samples: int, data: st.DataObject) -> None:
    clients = data.draw(st.integers(1, samples))
    sizes = np.bincount(deal(Iid(clients=clients), labels(samples), samples), minlength=clients)
    assert sizes.sum() == samples
    assert sizes.max() - sizes.min() <= 1


def test_labels_are_ignored() -> None:
    y = np.sort(labels(5000))
    table = histogram(deal(Iid(clients=10), y), y, 10)
    assert entropy_bits(table) > 0.98 * np.log2(10)
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_just_enough_is_enough() -> None:
    assert np.bincount(deal(Iid(clients=10), labels(10))).tolist() == [1] * 10
