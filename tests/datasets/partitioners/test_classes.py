"""The same number of classes for everyone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mpifl.datasets.partitioners.classes import Classes
from mpifl.errors import InputError
from tests.datasets.partitioners.dealers import deal, histogram, labels


@given(
    clients=st.integers(1, 25),
    classes=st.integers(1, 9),
    each=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_everyone_holds_so_many_classes_and_shares_them_evenly(
    clients: int, classes: int, each: int, seed: int
) -> None:
    y = np.repeat(np.arange(classes), 25 + np.arange(classes))  # enough of each for all
    partitioner = Classes(clients=clients, classes_per_client=each)
    if each > classes or each * clients < classes:
        with pytest.raises(InputError, match=rf"^data\.partition\.classes_per_client: {each} "):
            deal(partitioner, y, seed)
        return
    table = histogram(deal(partitioner, y, seed), y, clients)
    assert ((table > 0).sum(1) == each).all()
    assert (table.sum(0) == 25 + np.arange(classes)).all()
    for of_class in table.T:
        amounts = of_class[of_class > 0]
        assert len(amounts) > 0
        assert amounts.max() - amounts.min() <= 1
    assert all(table[client, client % classes] > 0 for client in range(clients))


def test_the_other_classes_are_any() -> None:
    """The first client holds class 0 and one of nine others, each as often."""
    y = np.repeat(np.arange(10), 40)
    others = Counter(
        int(np.flatnonzero(histogram(deal(Classes(clients=20), y, seed), y, 20)[0])[1])
        for seed in range(2000)
    )
    assert set(others) == set(range(1, 10))
    assert stats.chisquare(list(others.values())).pvalue > 1e-3


def test_all_classes_for_everyone_is_the_whole_mixture() -> None:
    y = np.repeat(np.arange(5), 100)
    assert (histogram(deal(Classes(clients=10, classes_per_client=5), y), y, 10) == 10).all()


def test_a_class_too_small_for_its_holders_is_named() -> None:
    y = np.concatenate([np.repeat([3, 5, 8], 100), [9, 9]])
    with pytest.raises(InputError) as caught:
        deal(Classes(clients=40), y)
    message = str(caught.value)
    assert message.startswith("data.partition.classes_per_client: 2: class 9 fell to ")
    assert "of 40 clients and has 2 samples" in message


def test_fewer_samples_than_hands_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^data\.partition\.clients: 10 clients of 3 or more samples"
    ):
        deal(Classes(clients=10, classes_per_client=3), labels(29, 5))


def test_too_few_hands_say_how_many_would_do() -> None:
    with pytest.raises(InputError, match=r"3 or more$"):
        deal(Classes(clients=4, classes_per_client=2), np.repeat(np.arange(10), 10))
