"""The best split of a node against a loop over all of them, in fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpifl.algorithms.split_finding import best_splits, best_value
from tests.budget import examples

FIRST = st.integers(-5, 5)
SECOND = st.integers(0, 4)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 4))


def score(sums: tuple[int, int], l2: Fraction) -> Fraction:
    return Fraction(sums[0] ** 2) / (sums[1] + l2) if sums[1] + l2 else Fraction(0)


@given(st.data(), SHAPES, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0, 3.0]))
@examples(100)
def test_no_split_gains_more(
    data: st.DataObject, shape: tuple[int, int, int], l2: float, least: float
) -> None:
    """Every feature bins the same samples, so that the sums of a node are the same for all."""
    nodes, features, bins = shape
    samples = data.draw(st.integers(0, 6))
    first = data.draw(arrays(np.int64, (nodes, samples), elements=FIRST))
    second = data.draw(arrays(np.int64, (nodes, samples), elements=SECOND))
    binned = data.draw(
        arrays(np.int64, (nodes, features, samples), elements=st.integers(0, bins - 1))
    )
    histogram = np.zeros((nodes, features, bins, 2))
    for node in range(nodes):
        for feature in range(features):
            np.add.at(histogram[node, feature, :, 0], binned[node, feature], first[node])
            np.add.at(histogram[node, feature, :, 1], binned[node, feature], second[node])

    splits = best_splits(histogram, l2, 0.25, least)
    for node in range(nodes):
        whole = (int(first[node].sum()), int(second[node].sum()))
        gains = {}
        for feature in range(features):
            for cut in range(bins - 1):
                left = binned[node, feature] <= cut
                two = [
                    (int(first[node][side].sum()), int(second[node][side].sum()))
                    for side in (left, ~left)
                ]
                if min(two[0][1], two[1][1]) >= least:
                    exact = Fraction(l2)
                    gain = sum(score(each, exact) for each in two) - score(whole, exact)
                    gains[feature, cut] = (gain / 2, two)
        best = max((gain for gain, _ in gains.values()), default=Fraction(0))
        place = (int(splits.feature[node]), int(splits.cut[node]))
        if splits.gain[node] > 0:
            gain, two = gains[place]
            assert abs(gain - best) < 1e-9
            assert abs(float(gain) - splits.gain[node]) < 1e-9
            assert [tuple(splits.left[node]), tuple(splits.right[node])] == two
        else:
            assert best < 0.25 + 1e-9
            assert place == (0, 0)
            assert tuple(splits.left[node]) == whole
            assert tuple(splits.right[node]) == (0, 0)


def test_a_leaf_without_samples_has_the_value_0() -> None:
    sums = np.array([[3.0, 1.0], [0.0, 0.0], [-2.0, 0.0]])
    np.testing.assert_array_equal(best_value(sums, 1.0), [-1.5, 0.0, 2.0])
    np.testing.assert_array_equal(best_value(sums, 0.0), [-3.0, 0.0, 0.0])
