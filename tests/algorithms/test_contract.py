"""What every algorithm of the registry must keep to, for the ranks to carry it out."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mpifl.algorithms import REGISTRY
from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Array, Arrays
from mpifl.algorithms.context import ClientContext, Upload
from mpifl.algorithms.requests import (
    Call,
    Differentiated,
    Evaluate,
    Evaluated,
    Gradient,
    Request,
    Train,
    Trained,
)
from mpifl.job import parse_job
from mpifl.models.flat import flatten
from mpifl.models.layout import layout_of
from tests.algorithms.sides import context, others_of, start, step, uploaded

torch.manual_seed(1)
FLAT = flatten(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)))
LAYOUT = layout_of(FLAT)
MODEL = FLAT.moving.numpy().copy()
UPDATE = torch.from_numpy(np.random.default_rng(2).uniform(0.5, 1.0, LAYOUT.size)).float()
UPDATE *= 1 - 2 * (torch.arange(LAYOUT.size) % 2)
STILL = torch.zeros(LAYOUT.size)
UPDATE[LAYOUT.averages] = 0


POPULATION = SimpleNamespace(
    clients=10,
    dataset=SimpleNamespace(
        task="classification",
        outputs=3,
        parts={"validation"},
        validation=SimpleNamespace(samples=6, client=np.array([b"a"])),
        train=SimpleNamespace(samples=30, client=np.array([b"a", b"b"])),
    ),
)


@pytest.fixture(params=sorted(set(REGISTRY) - {"gbdt"}))  # which needs trees
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    module, _, name = REGISTRY[request.param].partition(":")
    kind = getattr(importlib.import_module(module), name)
    return kind().settled(POPULATION)


def drawn(array: Array, seed: int, lead: tuple[int, ...] = ()) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((*lead, *array.sized(LAYOUT.size)))


def means(algorithm: Algorithm, seed: int = 0) -> Arrays:
    lead = (algorithm.slots,) if algorithm.slots > 1 else ()
    return {
        name: drawn(array, seed, lead) for name, array in algorithm.uploaded_arrays(LAYOUT).items()
    }


def mean_of(algorithm: Algorithm, upload: Upload) -> Arrays:
    """The means of a round with this upload alone."""
    found = {}
    for name, array in algorithm.uploaded_arrays(LAYOUT).items():
        values = torch.as_tensor(upload.arrays[name]).double().numpy().copy()
        if array.of_model:
            values[..., LAYOUT.averages] = 0
        found[name] = values
        if algorithm.slots > 1:
            found[name] = np.zeros((algorithm.slots, *values.shape))
            found[name][upload.slot] = values
    return found


def participant(algorithm: Algorithm, first_time: bool = True) -> ClientContext:
    """Who receives the first state, or a later one and has kept something before."""
    state = start(algorithm, MODEL, LAYOUT)
    if not first_time:
        state = step(algorithm, state, means(algorithm), layout=LAYOUT)
    received = {
        name: torch.from_numpy(state[name].copy()) for name in algorithm.received_arrays(LAYOUT)
    }
    kept = {}
    if not first_time:
        for seed, (name, array) in enumerate(algorithm.kept_arrays(LAYOUT).items()):
            values = torch.from_numpy(drawn(array, seed).astype(np.float32))
            kept[name] = values.abs()  # a running variance is not negative
    initial = torch.from_numpy(MODEL.copy())
    return context(
        received,
        kept,
        LAYOUT,
        initial_or_none=initial,
        others={} if first_time else others_of(algorithm, LAYOUT, 6),
        count_validation=lambda: 2,
    )


def serving(update: torch.Tensor) -> Callable[[Request], Any]:
    """Answers: local steps move weights by ``update``; each test finds a larger loss than the one before."""
    tested = iter(range(1, 1000))

    def answer(request: Request) -> Any:
        if isinstance(request, Train):
            steps = 3 if request.steps is None else request.steps
            return Trained(request.start, request.start + update, 0.5, steps)
        if isinstance(request, Evaluate):
            return Evaluated(float(next(tested)), 5, 10)
        if isinstance(request, Gradient):
            return Differentiated(-10 * update, 0.5, STILL[LAYOUT.averages])
        assert isinstance(request, Call)
        if request.steps:
            return Trained(request.weights, request.weights + update, 0.5, request.steps)
        FLAT.load(request.weights)
        return request.function(FLAT.module, torch.randn(10, 3), torch.randint(2, (10,)))

    return answer


def shares_a_model(algorithm: Algorithm) -> bool:
    """Whether what clients upload moves the model; of some they upload no part of one."""
    uploads = bool(algorithm.uploaded_arrays(LAYOUT))
    return uploads and algorithm.name not in ("ccvr", "fedproto", "fedmd")


def copied(state: Arrays) -> Arrays:
    return {name: values.copy() for name, values in state.items()}


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_job_names_it(name: str) -> None:
    selection = {"name": "uniform", "participants": 2}
    objective = "q_learning" if name == "dqn" else "auto"
    facts = {"rounds": 1, "model": "logreg", "selection": selection, "objective": objective}
    job = parse_job({**facts, "algorithm": name})
    assert isinstance(job.algorithm, Algorithm)
    assert job.algorithm.name == name
    kind = type(job.algorithm)
    assert f"{kind.__module__}:{kind.__qualname__}" == REGISTRY[name]
    job.algorithm.check(job)


def test_is_frozen_and_refuses_unknown_keys(algorithm: Algorithm) -> None:
    with pytest.raises(AttributeError, match="never changes"):
        setattr(algorithm, "name", "other")  # noqa: B010 - mypy knows that it is read-only
    with pytest.raises(ValueError, match="nonsense"):
        type(algorithm).model_validate({"nonsense": 1})


def test_the_state_has_the_model_and_what_is_received_in_the_shapes_declared(
    algorithm: Algorithm,
) -> None:
    state = start(algorithm, MODEL, LAYOUT)
    np.testing.assert_array_equal(state["model"], MODEL)
    for name, array in algorithm.received_arrays(LAYOUT).items():
        assert state[name].shape == array.sized(LAYOUT.size)


def test_the_state_keeps_its_names_and_shapes_and_stays_finite_from_round_to_round(
    algorithm: Algorithm,
) -> None:
    state = start(algorithm, MODEL, LAYOUT)
    shapes = {name: values.shape for name, values in state.items()}
    for number in range(4):
        state = step(algorithm, state, means(algorithm, number), layout=LAYOUT)
        assert {name: values.shape for name, values in state.items()} == shapes
        assert all(np.isfinite(values).all() for values in state.values())
    moves = not np.array_equal(state["model"], MODEL)
    assert moves == shares_a_model(algorithm)


def test_the_server_changes_none_of_its_inputs_and_gives_the_same_again(
    algorithm: Algorithm,
) -> None:
    state = step(algorithm, start(algorithm, MODEL, LAYOUT), means(algorithm), layout=LAYOUT)
    mean = means(algorithm, 1)
    state_before, mean_before = copied(state), copied(mean)
    first = copied(step(algorithm, state, mean, layout=LAYOUT))
    assert_same(state, state_before)
    assert_same(mean, mean_before)
    assert_same(step(algorithm, state, mean, layout=LAYOUT), first)


def test_start_leaves_the_model_alone(algorithm: Algorithm) -> None:
    model = MODEL.copy()
    state = algorithm.start(model, LAYOUT, np.random.default_rng(1))
    step(algorithm, copied(state), means(algorithm), layout=LAYOUT)
    np.testing.assert_array_equal(model, MODEL)


def test_a_first_round_in_which_training_changes_nothing_leaves_the_model(
    algorithm: Algorithm,
) -> None:
    upload, _ = uploaded(algorithm, participant(algorithm), serving(STILL))
    after = step(
        algorithm, start(algorithm, MODEL, LAYOUT), mean_of(algorithm, upload), layout=LAYOUT
    )
    trained = slice(LAYOUT.trained)
    np.testing.assert_allclose(after["model"][trained], MODEL[trained], rtol=1e-6)


def test_in_a_first_round_the_model_moves_where_training_moved_it(algorithm: Algorithm) -> None:
    """All of it, or the part that clients share."""
    upload, _ = uploaded(algorithm, participant(algorithm), serving(UPDATE))
    after = step(
        algorithm, start(algorithm, MODEL, LAYOUT), mean_of(algorithm, upload), layout=LAYOUT
    )
    moved = (after["model"] - MODEL)[: LAYOUT.trained]
    arrays = algorithm.uploaded_arrays(LAYOUT).values() if shares_a_model(algorithm) else ()
    shared = sum(math.prod(array.sized(LAYOUT.trained)) for array in arrays)
    assert np.count_nonzero(moved) >= min(shared, LAYOUT.trained / 2)
    expected = np.sign(UPDATE.numpy()[: LAYOUT.trained])
    np.testing.assert_array_equal(np.sign(moved)[moved != 0], expected[moved != 0])


@pytest.mark.parametrize("first_time", [True, False])
def test_uploads_and_keeps_what_it_declares(algorithm: Algorithm, first_time: bool) -> None:
    upload, _ = uploaded(algorithm, participant(algorithm, first_time), serving(UPDATE))
    for declared, found in (
        (algorithm.uploaded_arrays(LAYOUT), upload.arrays),
        (algorithm.kept_arrays(LAYOUT), upload.keep),
    ):
        assert set(found) == set(declared)
        for name, array in declared.items():
            values = torch.as_tensor(found[name])
            assert values.shape == array.sized(LAYOUT.size)
            assert not values.requires_grad
            assert torch.isfinite(values).all()
    assert 0 <= upload.slot < algorithm.slots


@pytest.mark.parametrize("first_time", [True, False])
def test_the_client_side_changes_nothing_that_it_is_given(
    algorithm: Algorithm, first_time: bool
) -> None:
    given, again = participant(algorithm, first_time), participant(algorithm, first_time)
    update = UPDATE.clone()
    uploaded(algorithm, given, serving(update))
    assert torch.equal(update, UPDATE)
    for found, expected in ((given.received, again.received), (given.kept, again.kept)):
        assert set(found) == set(expected)
        for name, values in expected.items():
            assert torch.equal(found[name], values)


def used(requests: list[Request]) -> np.ndarray:
    """Local steps, passes with gradients, passes without, and public samples."""
    total = np.zeros(4)
    for request in requests:
        if isinstance(request, Train):
            total[0] += request.cost * (3 if request.steps is None else request.steps)
        elif isinstance(request, Call):
            total += request.steps, request.gradients, request.evaluations, request.public
        else:
            total += (0, 1, 0, 0) if isinstance(request, Gradient) else (0, 0, request.cost, 0)
    return total


def test_a_participant_is_charged_for_what_it_asks_for(algorithm: Algorithm) -> None:
    """No more at any time; and no less than it asks for at its first time or later."""
    cost = algorithm.cost(LAYOUT)
    declared = [3 * cost.training + cost.extra_steps, cost.gradients, cost.evaluations, cost.public]
    asked = [
        used(uploaded(algorithm, participant(algorithm, first), serving(UPDATE))[1])
        for first in (True, False)
    ]
    most = np.max(asked, axis=0)
    assert (most <= np.array(declared) + 1e-9).all()
    assert (most > np.array(declared) - 1).all()  # a share of steps is rounded up to whole ones


def test_weights_are_above_zero_in_float64_and_not_smaller_for_more_samples(
    algorithm: Algorithm,
) -> None:
    weight = algorithm.weight(np.array([1, 2, 50, 10**9]))
    assert weight.dtype == np.float64
    assert weight.shape == (4,)
    assert (weight > 0).all()
    assert (np.diff(weight) >= 0).all()
