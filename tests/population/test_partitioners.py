"""Partitioners: every sample goes to one client, every client gets enough, the same seed gives the same."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpifl.errors import InputError
from mpifl.population.partitioners import REGISTRY
from mpifl.population.partitioners.dirichlet import Dirichlet
from mpifl.population.partitioners.iid import Iid
from mpifl.population.partitioners.natural import Natural
from mpifl.population.partitioners.partitioner import Partitioner
from mpifl.seeds import Purpose, generator


def labels(samples: int, classes: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(classes, size=samples)


def assign(partitioner: Partitioner, y: np.ndarray, seed: int = 0) -> np.ndarray:
    return partitioner.assign(y, generator(seed, Purpose.PARTITION))


def label_entropy(client: np.ndarray, y: np.ndarray) -> float:
    """The mean over samples of the entropy (bits) of their client's labels."""
    counts = np.zeros((client.max() + 1, y.max() + 1))
    np.add.at(counts, (client, y), 1)
    sizes = counts.sum(1)
    share = counts / np.maximum(sizes, 1)[:, None]
    entropy = -(share * np.log2(share, out=np.zeros_like(share), where=share > 0)).sum(1)
    return float((entropy * sizes).sum() / sizes.sum())


DEALERS = [Iid(clients=20), Dirichlet(clients=20, alpha=0.1), Dirichlet(clients=20, alpha=10.0, min_samples=5)]


@pytest.mark.parametrize("partitioner", DEALERS, ids=str)
def test_every_sample_has_a_client_and_every_client_a_sample(partitioner: Partitioner) -> None:
    client = assign(partitioner, labels(777))
    assert client.shape == (777,)
    assert client.dtype == np.int64
    assert set(client) == set(range(20))


@pytest.mark.parametrize("partitioner", DEALERS, ids=str)
def test_the_same_generator_deals_the_same(partitioner: Partitioner) -> None:
    y = labels(777)
    assert np.array_equal(assign(partitioner, y), assign(partitioner, y))
    assert not np.array_equal(assign(partitioner, y), assign(partitioner, y, seed=1))


@pytest.mark.parametrize("partitioner", DEALERS, ids=str)
def test_labels_are_left_as_they_are(partitioner: Partitioner) -> None:
    y = labels(777)
    before = y.copy()
    assign(partitioner, y)
    assert np.array_equal(y, before)


@given(samples=st.integers(1, 300), data=st.data())
@settings(max_examples=60, deadline=None)
def test_iid_sizes_differ_by_one_at_most(samples: int, data: st.DataObject) -> None:
    clients = data.draw(st.integers(1, samples))
    sizes = np.bincount(assign(Iid(clients=clients), labels(samples), samples), minlength=clients)
    assert sizes.sum() == samples
    assert len(sizes) == clients
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("partitioner", [Iid(clients=5), Dirichlet(clients=5, alpha=10.0)], ids=str)
def test_which_samples_of_a_class_go_where_is_drawn_too(partitioner: Partitioner) -> None:
    client = assign(partitioner, np.zeros(1000, int))
    assert (client[1:] != client[:-1]).mean() > 0.5  # no runs, and so no writer's samples to one client


def test_iid_ignores_the_labels() -> None:
    y = np.sort(labels(5000))
    assert label_entropy(assign(Iid(clients=10), y), y) > 0.98 * np.log2(10)


@given(
    samples=st.integers(1, 300),
    classes=st.integers(1, 12),
    alpha=st.floats(1e-6, 1e6),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_dirichlet_always_ends_with_enough_for_everyone(
    samples: int, classes: int, alpha: float, seed: int, data: st.DataObject
) -> None:
    clients = data.draw(st.integers(1, samples))
    least = data.draw(st.integers(1, samples // clients))
    client = assign(Dirichlet(clients=clients, alpha=alpha, min_samples=least), labels(samples, classes, seed), seed)
    sizes = np.bincount(client, minlength=clients)
    assert len(sizes) == clients
    assert sizes.sum() == samples
    assert sizes.min() >= least


def test_a_small_alpha_is_more_skewed() -> None:
    y = labels(20_000)
    entropies = [label_entropy(assign(Dirichlet(clients=50, alpha=alpha), y), y) for alpha in (0.01, 0.1, 1.0, 10.0, 1000.0)]
    assert entropies == sorted(entropies)
    assert entropies[0] < 0.8  # about one class a client
    assert entropies[-1] > 0.99 * np.log2(10)


def test_dirichlet_shares_are_those_of_the_distribution() -> None:
    """One class, many draws: a client's share is Beta(alpha, (n - 1) alpha), whose mean and variance are known."""
    n, alpha, samples = 5, 0.7, 2000
    y = np.zeros(samples, int)
    shares = [(assign(Dirichlet(clients=n, alpha=alpha), y, seed) == 0).mean() for seed in range(600)]
    variance = (n - 1) / (n * n * (n * alpha + 1))
    assert abs(np.mean(shares) - 1 / n) < 4 * np.sqrt(variance / 600)
    assert 0.8 < np.var(shares) / variance < 1.2


@pytest.mark.parametrize(
    ("partitioner", "samples"),
    [
        (Iid(clients=11), 10),
        (Dirichlet(clients=11), 10),
        (Dirichlet(clients=5, min_samples=3), 14),
        (Iid(clients=10**9), 10),
        (Dirichlet(clients=10**9), 10),
    ],
    ids=str,
)
def test_what_cannot_be_met_is_refused(partitioner: Partitioner, samples: int) -> None:
    with pytest.raises(InputError) as caught:
        assign(partitioner, labels(samples))
    message = str(caught.value)
    assert message.startswith("data.partition.clients: ")
    assert str(partitioner.clients) in message
    assert f"the data has {samples}" in message


def test_just_enough_is_enough() -> None:
    assert np.bincount(assign(Dirichlet(clients=5, min_samples=3), labels(15))).tolist() == [3] * 5
    assert np.bincount(assign(Iid(clients=10), labels(10))).tolist() == [1] * 10


@pytest.mark.parametrize(
    "options", [{"alpha": 0}, {"alpha": float("inf")}, {"min_samples": 0}, {"clients": 0}, {"seed": -1}], ids=str
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Dirichlet(**options)


def test_natural_has_nothing_to_say() -> None:
    assert list(Natural.model_fields) == ["name"]
    with pytest.raises(ValidationError):
        Natural(clients=3)  # type: ignore[call-arg]


def test_all_others_are_partitioners() -> None:
    for name, where in REGISTRY.items():
        module, _, class_name = where.partition(":")
        assert issubclass(getattr(importlib.import_module(module), class_name), Partitioner) == (name != "natural")
