"""Keyed permutations."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpifl.population.permutation import permuted

KEYS = st.integers(0, 2**63 - 1)  # as mpifl.seeds.number makes them


def whole(size: int, key: int) -> list[int]:
    return [permuted(index, size, key) for index in range(size)]


@given(st.integers(1, 5000), KEYS)
@example(1, 0)
@example(4096, 2**63 - 1)
@example(4097, 2**63 - 1)
@example(5000, 0)
@settings(max_examples=100, deadline=None)
def test_a_permutation_hits_everything_once(size: int, key: int) -> None:
    assert sorted(whole(size, key)) == list(range(size))


@given(st.integers(100, 1000), KEYS, KEYS)
@settings(max_examples=50, deadline=None)
def test_two_keys_are_two_permutations(size: int, key: int, other: int) -> None:
    assert (whole(size, key) == whole(size, other)) == (key == other)


def test_keys_that_are_near_are_as_different_as_any() -> None:
    tables = np.array([whole(1000, key) for key in range(20)])
    same = [(tables[i] == tables[j]).mean() for i in range(20) for j in range(i)]
    assert max(same) < 0.02  # one in a thousand is what chance gives


def test_neighbours_do_not_stay_neighbours() -> None:
    table = np.array(whole(5000, 11))
    assert abs(np.corrcoef(np.arange(5000), table)[0, 1]) < 0.05
    assert (np.abs(np.diff(table)) == 1).mean() < 0.01


def test_every_place_is_as_likely_as_any_other() -> None:
    size, keys = 10, 5000
    counts = np.bincount([permuted(3, size, key) for key in range(keys)], minlength=size)
    expected = keys / size
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-squared, 9 degrees of freedom, 0.1 %


def test_a_hundred_million() -> None:
    size = 100_000_000
    found = [permuted(index, size, 5) for index in [*range(20_000), *range(size - 20_000, size)]]
    assert min(found) >= 0
    assert max(found) < size
    assert len(set(found)) == len(found)
    assert abs(np.mean(found) / size - 0.5) < 0.01


def test_sizes_beyond_32_bits() -> None:
    size = 2**40 + 1
    found = {permuted(index, size, 5) for index in (0, 1, 2**32, 2**40)}
    assert len(found) == 4
    assert all(0 <= place < size for place in found)
    assert max(found) > 2**32
