"""Features dealt to parties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.partitioners.vertical import Vertical
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.seeds import Purpose, generator

JOB = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 2}}


def features_of(partitioner: Vertical, features: int, seed: int = 0) -> list[np.ndarray]:
    return partitioner.features_of(features, generator(seed, Purpose.PARTITION))


@given(
    features=st.integers(1, 200), shuffle=st.booleans(), seed=st.integers(0, 999), data=st.data()
)
def test_every_feature_has_one_party(
    features: int, shuffle: bool, seed: int, data: st.DataObject
) -> None:
    clients = data.draw(st.integers(1, features))
    parts = features_of(Vertical(clients=clients, shuffle=shuffle), features, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(features))
    sizes = [len(part) for part in parts]
    assert len(sizes) == clients
    assert max(sizes) - min(sizes) <= 1
    assert all((np.diff(part) > 0).all() and part.dtype == np.int64 for part in parts)


def test_blocks_are_contiguous() -> None:
    assert [part.tolist() for part in features_of(Vertical(clients=3), 7)] == [
        [0, 1, 2],
        [3, 4],
        [5, 6],
    ]


def test_blocks_of_given_sizes() -> None:
    """The two parties of FATE's default_credit: 13 features and 10."""
    parts = features_of(Vertical(features_per_client=[13, 10]), 23)
    assert [part.tolist() for part in parts] == [list(range(13)), list(range(13, 23))]


def test_a_shuffle_is_seeded() -> None:
    mixed = Vertical(clients=4, shuffle=True)
    first, again, other = (np.concatenate(features_of(mixed, 64, seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, np.arange(64))


def test_too_few_features_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^data\.partition\.clients: 5 clients .* a sample has 4$"
    ):
        features_of(Vertical(clients=5), 4)


def test_numbers_for_other_data_are_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"^data\.partition\.features_per_client: \[13, 10\] are 23 features; a sample has 24$",
    ):
        features_of(Vertical(features_per_client=[13, 10]), 24)


@pytest.mark.parametrize(
    "options",
    [
        {"features_per_client": [3]},
        {"clients": 3, "features_per_client": [1, 2]},
        {"features_per_client": [0, 3]},
    ],
)
def test_one_number_above_0_for_each_party(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^data\.partition: .*one number above 0 for each"):
        parse_job(JOB | {"data": {"partition": {"name": "vertical"} | options}})
