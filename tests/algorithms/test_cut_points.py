"""The cuts of trees are quantiles, whatever the values and however they are dealt to clients."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpifl.algorithms.cut_points import (
    KEY_BITS,
    ROUNDS,
    count,
    counts_size,
    cuts_of,
    first_shares,
    keys_of,
    known_bits,
    narrowed,
    value_of,
)
from tests.budget import examples

VALUES = st.floats(width=32) | st.integers(-3, 3).map(float)
SIZES = st.integers(1, 12)


def found(parts: list[np.ndarray], bins: int) -> np.ndarray:
    """The bits of the cuts (features, bins - 1) that the rounds find, with these clients in all of them."""
    features = parts[0].shape[1]
    shares = first_shares(features, bins)
    prefixes = np.zeros(shares.shape, np.int64)
    for number in range(1, ROUNDS + 1):
        counts = [count(part, prefixes, number) for part in parts]
        assert all(len(each) == counts_size(features, bins - 1, number) for each in counts)
        prefixes, shares = narrowed(np.sum(counts, axis=0), prefixes, shares, number)
        shares = shares.astype(np.float32)  # as in the server's state
    return prefixes


@given(st.lists(VALUES, min_size=1, max_size=40), st.integers(2, 9), st.data())
@examples(100)
def test_they_have_the_leading_bits_of_the_quantiles(
    values: list[float], bins: int, data: st.DataObject
) -> None:
    x = np.array(values, np.float32)[:, None]
    ends = sorted(data.draw(st.lists(st.integers(0, len(x)), max_size=3)))
    prefixes = found(np.split(x, ends), bins)[0]
    ordered = np.sort(keys_of(x[:, 0]))
    for place, prefix in enumerate(prefixes.tolist(), start=1):
        rank = -(-place * len(x) // bins) - 1
        near = {rank}
        if place * len(x) % bins == 0:  # between two values: rounding may take the next one
            near |= {rank + 1}
        unknown = KEY_BITS - known_bits(ROUNDS)
        assert prefix in {int(ordered[min(each, len(x) - 1)]) >> unknown for each in near}


@given(st.lists(VALUES, min_size=2, max_size=2))
def test_keys_have_the_order_of_the_values_and_lead_back_to_them(two: list[float]) -> None:
    x = np.array(two, np.float32)
    keys = keys_of(x)
    if x[0] < x[1]:
        assert keys[0] < keys[1]
    finite = np.isfinite(x)
    assert (value_of(keys)[finite] == x[finite]).all()
    assert np.isfinite(value_of(keys)).all()


@given(st.lists(VALUES, min_size=1, max_size=40), st.integers(2, 9))
@examples(60)
def test_a_cut_is_the_largest_value_with_its_bits_and_never_none(
    values: list[float], bins: int
) -> None:
    x = np.array(values, np.float32)[:, None]
    prefixes = found([x], bins)
    cuts = cuts_of(prefixes)
    assert cuts.dtype == np.float32
    assert np.isfinite(cuts).all()
    assert (np.diff(cuts) >= 0).all()
    unknown = KEY_BITS - known_bits(ROUNDS)
    inside = np.abs(cuts) < np.finfo(np.float32).max
    assert (keys_of(cuts)[inside] >> unknown == prefixes[inside]).all()
