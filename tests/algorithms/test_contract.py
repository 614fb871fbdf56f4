"""What every algorithm of the registry must keep to, for executor and aggregator to carry it out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mpifl.aggregation.exact_sum import FRACTION_BITS
from mpifl.algorithms import REGISTRY
from mpifl.algorithms.algorithm import Algorithm, ClientContext, State
from mpifl.algorithms.fedavg import FedAvg
from mpifl.errors import InputError
from mpifl.job import parse_job

N, TRAINABLE = 5, 3
MODEL = np.array([1.0, -2.0, 0.5, 0.0, 1.0], np.float32)


@pytest.fixture(params=sorted(REGISTRY))
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    module, _, name = REGISTRY[request.param].partition(":")
    return getattr(importlib.import_module(module), name)()


def context(algorithm: Algorithm, first_time: bool = True) -> ClientContext:
    random = torch.Generator().manual_seed(0)
    sent = {name: torch.randn(N, generator=random) for name in algorithm.sent}
    kept = torch.randn(N, generator=random) if algorithm.keeps_state and not first_time else None
    return ClientContext(sent, kept, steps=3, lr=0.1)


def mean(algorithm: Algorithm, seed: int = 0) -> State:
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(N) for name in algorithm.summed}


def copied(state: State) -> State:
    return {name: vector.copy() for name, vector in state.items()}


def assert_same(found: State, expected: State) -> None:
    assert list(found) == list(expected)
    for name, vector in expected.items():
        np.testing.assert_array_equal(found[name], vector)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_job_names_it(name: str) -> None:
    selection = {"name": "uniform", "participants": 2}
    job = parse_job({"rounds": 1, "model": "logreg", "selection": selection, "algorithm": name})
    assert isinstance(job.algorithm, Algorithm)
    assert job.algorithm.name == name
    assert type(job.algorithm).__module__ == f"mpifl.algorithms.{name}"
    job.algorithm.check(job)


def test_is_frozen_and_refuses_unknown_keys(algorithm: Algorithm) -> None:
    with pytest.raises(ValueError, match="frozen"):
        algorithm.name = "other"
    with pytest.raises(ValueError, match="nonsense"):
        type(algorithm)(nonsense=1)


def test_sends_the_model_and_only_what_the_state_has(algorithm: Algorithm) -> None:
    state = algorithm.start(MODEL.copy())
    assert "model" in algorithm.sent
    assert set(algorithm.sent) <= set(state)
    assert len(set(algorithm.sent)) == len(algorithm.sent)
    np.testing.assert_array_equal(state["model"], MODEL)


def test_state_is_float32_vectors_of_the_models_size_from_round_to_round(
    algorithm: Algorithm,
) -> None:
    state = algorithm.start(MODEL.copy())
    names = list(state)
    for round_number in range(4):
        assert list(state) == names
        assert all(vector.dtype == np.float32 and vector.shape == (N,) for vector in state.values())
        assert all(np.isfinite(vector).all() for vector in state.values())
        state = algorithm.step(state, mean(algorithm, round_number), participants=3, clients=10)
    assert not np.array_equal(state["model"], MODEL)


def test_step_changes_none_of_its_inputs_and_gives_the_same_again(algorithm: Algorithm) -> None:
    state = algorithm.step(algorithm.start(MODEL.copy()), mean(algorithm), 3, 10)
    update = mean(algorithm, 1)
    state_before, update_before = copied(state), copied(update)
    first = copied(algorithm.step(state, update, 3, 10))
    assert_same(state, state_before)
    assert_same(update, update_before)
    assert_same(algorithm.step(state, update, 3, 10), first)


def test_start_leaves_the_model_alone(algorithm: Algorithm) -> None:
    model = MODEL.copy()
    algorithm.step(algorithm.start(model), mean(algorithm), 3, 10)
    np.testing.assert_array_equal(model, MODEL)


def test_a_first_round_without_any_change_leaves_the_model(algorithm: Algorithm) -> None:
    state = algorithm.step(
        algorithm.start(MODEL.copy()), {name: np.zeros(N) for name in algorithm.summed}, 3, 10
    )
    np.testing.assert_array_equal(state["model"], MODEL)


def test_the_model_moves_with_the_mean_update(algorithm: Algorithm) -> None:
    update = np.array([1.0, -1.0, 2.0, -0.5, 0.1])
    vectors = {name: update if name == "update" else np.zeros(N) for name in algorithm.summed}
    moved = algorithm.step(algorithm.start(MODEL.copy()), vectors, 3, 10)["model"] - MODEL
    np.testing.assert_array_equal(np.sign(moved), np.sign(update))


@pytest.mark.parametrize("first_time", [True, False])
def test_contributes_what_is_summed_and_keeps_a_vector_if_it_says_so(
    algorithm: Algorithm, first_time: bool
) -> None:
    contribution, kept = algorithm.contribute(
        torch.linspace(-1, 1, N), context(algorithm, first_time)
    )
    assert set(contribution) == set(algorithm.summed)
    for vector in contribution.values():
        assert vector.shape == (N,)
        assert vector.dtype == torch.float32
        assert vector.is_contiguous()
        assert not vector.requires_grad
    assert (kept is not None) == algorithm.keeps_state
    if kept is not None:
        assert kept.shape == (N,)
        assert kept.dtype == torch.float32


@pytest.mark.parametrize("first_time", [True, False])
def test_the_client_side_changes_nothing_but_the_gradient(
    algorithm: Algorithm, first_time: bool
) -> None:
    task, again = context(algorithm, first_time), context(algorithm, first_time)
    weights, update, gradient = torch.randn(TRAINABLE), torch.randn(N), torch.randn(TRAINABLE)
    weights_before, update_before = weights.clone(), update.clone()
    assert algorithm.adjust(gradient, weights, task) is None
    algorithm.contribute(update, task)
    assert gradient.shape == (TRAINABLE,)
    assert torch.isfinite(gradient).all()
    assert torch.equal(weights, weights_before)
    assert torch.equal(update, update_before)
    for name in algorithm.sent:
        assert torch.equal(task.sent[name], again.sent[name])
    assert task.kept is None or torch.equal(task.kept, again.kept)


def test_weights_are_above_zero_in_float64_and_not_smaller_for_more_samples(
    algorithm: Algorithm,
) -> None:
    weight = algorithm.weight(np.array([1, 2, 50, 10**9]))
    assert weight.dtype == np.float64
    assert weight.shape == (4,)
    assert (weight > 0).all()
    assert (np.diff(weight) >= 0).all()


def test_an_array_that_says_nothing_has_the_common_unit(algorithm: Algorithm) -> None:
    assert [algorithm.bits(name) for name in algorithm.summed] == [FRACTION_BITS] * len(
        algorithm.summed
    )


def test_units_are_by_name_of_what_is_summed() -> None:
    class Two(FedAvg):
        summed = ("update", "square")
        units: ClassVar[dict[str, int]] = {"square": 80}

    assert (Two().bits("update"), Two().bits("square")) == (40, 80)


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ({"sqare": 80}, "Wrong.units: 'sqare' is not summed; allowed: update"),
        (
            {"update": 2000},
            "Wrong.units: 2000 of 'update' is not allowed; allowed: integers -65 to 188",
        ),
        (
            {"update": -66},
            "Wrong.units: -66 of 'update' is not allowed; allowed: integers -65 to 188",
        ),
        (
            {"update": 0.5},
            "Wrong.units: 0.5 of 'update' is not allowed; allowed: integers -65 to 188",
        ),
    ],
)
def test_units_that_cannot_be_are_refused_with_the_class(
    tmp_path: Path, units: dict[str, Any], said: str
) -> None:
    file = tmp_path / f"wrong{len(list(tmp_path.iterdir()))}.py"
    head = "from mpifl.algorithms.fedavg import FedAvg\nclass Wrong(FedAvg):\n"
    file.write_text(f"{head}    name: str = 'wrong'\n    units = {units}\n")
    job = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 2}}
    with pytest.raises(InputError) as error:
        parse_job({**job, "algorithm": f"{file}:Wrong"})
    assert str(error.value).endswith(said)
