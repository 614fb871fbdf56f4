"""Keyed permutations."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from mpifl.kernels.permutation import SMALL, inverse_permuted, permuted
from mpifl.seeds import Purpose, number
from tests.budget import examples

KEYS = st.integers(0, 2**63 - 1)  # as mpifl.seeds.number makes them


def whole(size: int, key: int) -> list[int]:
    return [permuted(index, size, key) for index in range(size)]


@given(st.integers(1, 5000), KEYS)
@example(1, 0)
@example(4096, 2**63 - 1)
@example(4097, 2**63 - 1)
@example(5000, 0)
@examples(100)
def test_a_permutation_hits_everything_once(size: int, key: int) -> None:
    assert sorted(whole(size, key)) == list(range(size))


def test_the_inverse_finds_the_index_of_every_place() -> None:
    for size in range(1, 601):
        key = number(1, Purpose.SELECTION, size)
        assert [inverse_permuted(place, size, key) for place in whole(size, key)] == list(
            range(size)
        )


@given(st.integers(SMALL + 1, 2**42), KEYS, st.data())
@examples(200)
def test_the_inverse_in_large_permutations(size: int, key: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    place = permuted(index, size, key)
    assert 0 <= place < size
    assert inverse_permuted(place, size, key) == index


@pytest.fixture(scope="module")
def keys() -> list[int]:
    """Keys as selection draws them."""
    return [number(1, Purpose.SELECTION, draw) for draw in range(20_000)]


def binned(values: np.ndarray, size: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each value of 0 to size - 1, and the share of them that each of at most ``bins`` bins has."""
    bins = min(bins, size)
    return values * bins // size, np.bincount(np.arange(size) * bins // size) / size


def chance(drawn: list[tuple[np.ndarray, np.ndarray]], keys: int) -> float:
    """How likely a chi-square as large is if bins that were drawn together are independent, each with its shares."""
    cell, expected = np.zeros(keys, np.int64), np.array([float(keys)])
    for which, shares in drawn:
        cell = cell * len(shares) + which
        expected = np.outer(expected, shares).ravel()
    if len(expected) == 1:
        return 1.0
    return float(stats.chisquare(np.bincount(cell, minlength=len(expected)), expected).pvalue)


@numba.njit
def first_three(size: int, keys: np.ndarray) -> np.ndarray:
    """The first three items by key (of fewer items the first once more), as a loop that takes a hundredth of Python's time."""
    drawn = np.empty((3, len(keys)), np.int64)
    for place in range(3):
        for k in range(len(keys)):
            drawn[place, k] = permuted(place % size, size, keys[k])
    return drawn


SIZES = [
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    12,
    15,
    16,
    20,
    31,
    32,
    50,
    64,
    100,
    128,
    200,
    256,
    300,
    400,
    512,
    513,
    539,
    700,
    1000,
]


@pytest.mark.parametrize("size", SIZES)
def test_firsts_pairs_and_triples_are_those_of_a_fair_shuffle(keys: list[int], size: int) -> None:
    first, second, third = first_three(size, np.array(keys))
    assert chance([binned(first, size, 1000)], len(keys)) > 1e-4
    # Who comes second among all but the first, third among all but these two: of a fair shuffle three independent numbers.
    next_of = second - (second > first)
    assert chance([binned(first, size, 40), binned(next_of, size - 1, 40)], len(keys)) > 1e-4
    if size == 2:
        return
    assert chance([binned((second - first) % size - 1, size - 1, 1000)], len(keys)) > 1e-4
    last_of = third - (third > first).astype(int) - (third > second)
    thirds = [binned(first, size, 10), binned(next_of, size - 1, 9), binned(last_of, size - 2, 8)]
    assert chance(thirds, len(keys)) > 1e-4


@given(st.integers(100, 1000), KEYS, KEYS)
@examples(50)
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
    assert (
        (counts - expected) ** 2 / expected
    ).sum() < 27.9  # chi-squared, 9 degrees of freedom, 0.1 %


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
