"""Draws without replacement against their exact law; sizes against exact fractions; what is handed out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.partitioners.dealing import (
    apportioned,
    dealt_at_random,
    dirichlet,
    drawn,
    equal_sizes,
    even_amounts,
    handed_out,
    shuffled_by,
)
from mpifl.errors import InputError
from tests.datasets.partitioners.dealers import assert_follows, urn


@pytest.mark.parametrize(
    ("alpha", "stock", "count"),
    [
        ([0.5, 1.0, 2.0], [2, 3, 4], 4),
        ([0.5, 1.0, 2.0], [2, 3, 4], 7),
        ([1.0, 1.0, 1.0, 1.0], [1, 1, 5, 2], 6),
        ([0.25, 4.0, 0.125], [5, 1, 2], 3),
        ([3.0, 0.5, 1.0], [0, 3, 2], 3),
        ([1e6, 2e6, 3e6], [1, 2, 5], 5),
    ],
)
def test_a_hand_follows_the_exact_law(alpha: list[float], stock: list[int], count: int) -> None:
    random = np.random.default_rng(5)
    hands = [
        tuple(drawn(count, np.array(alpha), np.array(stock), random).tolist())
        for _ in range(20_000)
    ]
    assert_follows(hands, urn(count, [Fraction(a) for a in alpha], tuple(stock)))


def test_the_exact_law_itself_by_hand() -> None:
    """Two kinds, uniform mixture, one sample of the first: P(none of it in 2 draws) = 1/2 x 2/3."""
    law = urn(2, [Fraction(1), Fraction(1)], (1, 5))
    assert law == {(0, 2): Fraction(1, 3), (1, 1): Fraction(2, 3)}


@given(
    stock=st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(any),
    alpha=st.sampled_from([1e-300, 1e-9, 1e-3, 0.3, 1.0, 1e9]),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_a_hand_is_full_and_within_the_stock(
    stock: list[int], alpha: float, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, sum(stock)))
    given_stock = np.array(stock)
    hand = drawn(count, np.full(len(stock), alpha), given_stock, np.random.default_rng(seed))
    assert hand.sum() == count
    assert ((hand >= 0) & (hand <= given_stock)).all()
    assert given_stock.tolist() == stock


def test_a_mixture_of_one_kind_goes_on_with_others_when_that_runs_out() -> None:
    """With alpha 1e-300 all shares but one are 0 in floats."""
    random = np.random.default_rng(0)
    firsts = {
        tuple(drawn(4, np.full(3, 1e-300), np.array([2, 2, 2]), random).tolist())
        for _ in range(100)
    }
    assert firsts == {(2, 2, 0), (2, 0, 2), (0, 2, 2)}


@pytest.mark.parametrize("alpha", [0.0, 1e308])
def test_shares_that_floats_cannot_hold_are_refused(alpha: float) -> None:
    with pytest.raises(InputError, match=r"^data\.partition: "), np.errstate(over="ignore"):
        dirichlet(np.full(20, alpha), np.random.default_rng(0))


@given(st.integers(1, 50), st.integers(0, 1000))
def test_equal_sizes(clients: int, samples: int) -> None:
    sizes = equal_sizes(samples, clients)
    assert sizes.tolist() == [len(part) for part in np.array_split(np.arange(samples), clients)]


def exact_sizes(weights: list[int], samples: int, least: int) -> list[Fraction]:
    """max(least, scale x weight) with the scale found by raising the lightest until the rest can do without."""
    raised: set[int] = set()
    while True:
        rest = [k for k in range(len(weights)) if k not in raised]
        total = sum(weights[k] for k in rest)
        if total == 0:
            return [Fraction(least)] * len(weights)
        scale = Fraction(samples - least * len(raised), total)
        more = {k for k in rest if scale * weights[k] < least}
        if not more:
            return [
                Fraction(least) if k in raised else scale * weights[k] for k in range(len(weights))
            ]
        raised |= more


@given(
    weights=st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any),
    least=st.integers(0, 5),
    more=st.integers(0, 10_000),
)
def test_apportioned_sizes_are_the_exact_ones_rounded(
    weights: list[int], least: int, more: int
) -> None:
    samples = least * len(weights) + more
    sizes = apportioned(np.array(weights, float), samples, least)
    assert sizes.dtype == np.int64
    assert sizes.sum() == samples
    assert sizes.min() >= least
    exact = exact_sizes(weights, samples, least)
    assert all(
        abs(int(size) - wanted) < 1 + Fraction(1, 10**6)
        for size, wanted in zip(sizes, exact, strict=True)
    )


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda w: max(w) > 0),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_apportioned_sizes_of_any_weights_sum_up(
    weights: list[float], least: int, more: int
) -> None:
    sizes = apportioned(np.array(weights), least * len(weights) + more, least)
    assert sizes.sum() == least * len(weights) + more
    assert sizes.min() >= least


def test_dealt_at_random() -> None:
    client = dealt_at_random(np.array([3, 0, 500, 497]), np.random.default_rng(0))
    assert np.bincount(client).tolist() == [3, 0, 500, 497]
    assert (client[1:] != client[:-1]).mean() > 0.4


def test_rows_by_kind_are_shuffled_within_it() -> None:
    kind = np.random.default_rng(1).integers(3, size=3000)
    rows = shuffled_by(kind, np.random.default_rng(0))
    assert np.array_equal(np.sort(rows), np.arange(3000))
    assert (np.diff(kind[rows]) >= 0).all()
    assert 0.4 < (np.diff(rows) > 0).mean() < 0.6


def test_handed_out_by_hand() -> None:
    rows = np.array([4, 0, 2, 1, 3])  # kinds 0 0 0 1 1
    client = handed_out(rows, np.array([1, 0, 0]), np.array([7, 8, 9]), np.array([2, 1, 2]))
    assert client.tolist() == [9, 7, 9, 7, 8]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.data())
def test_even_amounts_sum_to_the_stock_and_differ_by_one(
    kind: list[int], data: st.DataObject
) -> None:
    held = sorted(set(kind))
    stock = np.zeros(5, np.int64)
    stock[held] = data.draw(st.lists(st.integers(0, 100), min_size=len(held), max_size=len(held)))
    amounts = even_amounts(np.array(kind), stock)
    for one in held:
        of_one = amounts[np.array(kind) == one]
        assert of_one.sum() == stock[one]
        assert of_one.max() - of_one.min() <= 1
