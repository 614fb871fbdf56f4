"""The server's step: what it makes of a round's sums, whatever the algorithm returns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mpifl.aggregation.device_sum import DeviceSum
from mpifl.aggregation.exact_sum import LOW_BITS, RoundSum
from mpifl.algorithms.algorithm import State
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.fedyogi import FedYogi
from mpifl.algorithms.scaffold import Scaffold
from mpifl.errors import TrainingError
from mpifl.rounds.build_experiment import check_job
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.plan import TASK
from mpifl.rounds.server_step import checked, first_state, next_state
from mpifl.training.device import CPU
from tests.normed import HERE

VALUES = st.floats(0, 2.0**30, width=32)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """With trained, averaged and fixed entries."""
    overrides = [
        f"model.name={HERE}:Normed",
        "model.frozen=true",
        "model.hidden=[5]",
        "selection.participants=2",
    ]
    found = check_job("quickstart", [*overrides, "data.partition={name: iid, clients: 20}"])[0]
    assert isinstance(found, Experiment)
    return found


def changed(experiment: Experiment, **job: Any) -> Experiment:
    return replace(experiment, job=experiment.job.model_copy(update=job))


def tasks(weights: list[float], base: int = 0) -> np.ndarray:
    made = np.zeros(len(weights), TASK)
    made["round"], made["client"], made["base"], made["weight"] = (
        1,
        np.arange(len(weights)),
        base,
        weights,
    )
    return made


def sums(
    experiment: Experiment,
    updates: list[list[np.ndarray]],
    averages: list[np.ndarray],
    weights: list[float],
) -> RoundSum:
    """Of each client the trained part of each vector, and its buffers."""
    algorithm, model = experiment.job.algorithm, experiment.model
    part = RoundSum(
        np.zeros((len(algorithm.summed), len(model.gradient)), np.int64),
        np.zeros((2, model.averaged), np.int64),
    )
    adding = DeviceSum(part, [algorithm.bits(name) for name in algorithm.summed], CPU)
    for vectors, values, weight in zip(updates, averages, weights, strict=True):
        for number, vector in enumerate(vectors):
            assert (
                adding.add(number, torch.from_numpy(vector.astype(np.float32)), weight, (0, ""))
                is None
            )
        assert (
            adding.add_averages(torch.from_numpy(values.astype(np.float32)), weight, (0, None))
            is None
        )
    return part


def drawn(
    experiment: Experiment, clients: int, seed: int = 0
) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    random, model, vectors = (
        np.random.default_rng(seed),
        experiment.model,
        len(experiment.job.algorithm.summed),
    )
    updates = [
        [random.standard_normal(len(model.gradient)).astype(np.float32) for _ in range(vectors)]
        for _ in range(clients)
    ]
    return updates, [
        random.uniform(0, 9, model.averaged).astype(np.float32) for _ in range(clients)
    ]


def segments(
    experiment: Experiment, model: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    where = experiment.model.averages
    return model[: where.start], model[where], model[where.stop :]


@pytest.mark.parametrize(
    "weights", [[0.25, 0.75], [0.1, 0.3], [0.36]], ids=["all", "late", "FedAsync"]
)
def test_the_three_segments(experiment: Experiment, weights: list[float]) -> None:
    updates, averages = drawn(experiment, len(weights))
    state = first_state(experiment)
    state["model"][experiment.model.averages] = 3.0
    before = state["model"].copy()
    after = next_state(
        experiment,
        state,
        {},
        tasks(weights),
        np.empty(0),
        sums(experiment, updates, averages, weights),
    )
    trained, averaged, fixed = segments(experiment, after["model"])
    old = segments(experiment, before)
    np.testing.assert_allclose(
        trained, old[0] + sum(w * u[0] for w, u in zip(weights, updates, strict=True)), rtol=1e-5
    )
    # A weighted mean of what was there and what came, which is no difference to anything.
    mean = (1 - sum(weights)) * 3.0 + sum(
        w * v.astype(np.float64) for w, v in zip(weights, averages, strict=True)
    )
    np.testing.assert_array_equal(averaged, mean.astype(np.float32))
    np.testing.assert_array_equal(fixed, old[2])
    assert len(fixed) > 0
    np.testing.assert_array_equal(state["model"], before)


@given(
    st.lists(st.tuples(VALUES, st.floats(0.01, 1)), min_size=1, max_size=30),
    VALUES,
    st.floats(0.05, 1),
)
def test_an_average_stays_between_those_averaged(
    experiment: Experiment, terms: list[tuple[float, float]], old: float, share: float
) -> None:
    weights = np.array([weight for _, weight in terms])
    weights = (share * weights / weights.sum()).tolist()
    nothing = [np.zeros(len(experiment.model.gradient))]
    values = [np.full(experiment.model.averaged, value) for value, _ in terms]
    state = first_state(experiment)
    state["model"][experiment.model.averages] = old
    part = sums(experiment, [nothing] * len(terms), values, weights)
    _, averaged, _ = segments(
        experiment, next_state(experiment, state, {}, tasks(weights), np.empty(0), part)["model"]
    )
    seen = np.float32([old, *(value for value, _ in terms)])
    if share == 1:
        seen = seen[1:]
    unit = len(terms) * 2.0 ** -(
        LOW_BITS + 1
    )  # what rounding each term to the sum's unit may take away
    assert averaged.min() >= np.nextafter(seen.min(), np.float32(0)) - unit
    assert averaged.max() <= np.nextafter(seen.max(), np.float32(np.inf)) + unit
    if len({*seen.tolist()}) == 1 and (seen[0] == 0 or seen[0] > 1e-6):
        assert (averaged == seen[0]).all()


def test_the_weights_of_the_others_count_for_a_client_that_failed(experiment: Experiment) -> None:
    updates, averages = drawn(experiment, 2)
    state, both = first_state(experiment), [0.2, 0.3]
    part = sums(experiment, updates[1:], averages[1:], both[1:])
    found = next_state(experiment, state, {}, tasks(both), np.array([0]), part)["model"]
    alone = tasks([0.5])
    alone["client"] = 1
    expected = next_state(
        experiment,
        state,
        {},
        alone,
        np.empty(0),
        sums(experiment, updates[1:], averages[1:], [0.5]),
    )["model"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    _, averaged, _ = segments(experiment, found)
    old = segments(experiment, state["model"])[1].astype(np.float64)
    np.testing.assert_allclose(averaged, 0.5 * old + 0.5 * averages[1], rtol=1e-6)


HANDED_OUT: list[np.ndarray] = []


class Everything(FedAvg):
    """Moves all that there is, and goes on with the array that it returned."""

    def start(self, model: np.ndarray) -> State:
        return {"model": model + 1, "kept": np.zeros_like(model)}

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        assert not any(
            vector[-335:].any() for vector in mean.values()
        )  # 5 x 64 + 5 frozen, 5 + 5 averaged
        moved = (state["model"] + 100).astype(np.float32)
        HANDED_OUT.append(moved)
        return {**state, "model": moved}


@pytest.mark.parametrize(
    "algorithm",
    [FedAvg(), FedYogi(), Scaffold(), Everything(name="all")],
    ids=lambda a: type(a).__name__,
)
def test_no_algorithm_touches_what_is_not_trained(
    experiment: Experiment, algorithm: FedAvg
) -> None:
    other = changed(experiment, algorithm=algorithm)
    updates, averages = drawn(other, 2)
    state = first_state(other)
    for before, after in zip(
        segments(other, state["model"])[1:], segments(other, other.initial)[1:], strict=True
    ):
        np.testing.assert_array_equal(before, after)
    part = sums(other, updates, averages, [0.5, 0.5])
    after = next_state(other, state, {}, tasks([0.5, 0.5]), np.empty(0), part)
    _, averaged, fixed = segments(other, after["model"])
    np.testing.assert_allclose(averaged, np.mean(averages, 0), rtol=1e-6)
    np.testing.assert_array_equal(fixed, segments(other, other.initial)[2])
    if isinstance(algorithm, Everything):
        assert len(other.model.weights) - len(other.model.gradient) == 335
        assert (HANDED_OUT[-1] == state["model"] + 100).all()  # its own array was not written to
    if isinstance(algorithm, Scaffold):
        assert not after["control"][len(other.model.gradient) :].any()
        assert after["control"][: len(other.model.gradient)].any()


class InPlace(FedAvg):
    """Its step works in place, on all that it is given."""

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        state["model"] += mean["update"].astype(np.float32)
        mean["update"] *= 0
        return {**state}


def test_versions_that_clients_train_from_stay_as_they_are(experiment: Experiment) -> None:
    """Issue 12, point 3: with the state's own arrays returned, older versions were overwritten."""
    other = changed(experiment, algorithm=InPlace(name="in place"))
    updates, averages = drawn(other, 1)
    versions = [first_state(other)]
    copies = [versions[0]["model"].copy()]
    for _ in range(3):
        versions.append(
            next_state(
                other,
                versions[-1],
                {},
                tasks([1.0]),
                np.empty(0),
                sums(other, updates, averages, [1.0]),
            )
        )
        copies.append(versions[-1]["model"].copy())
    for version, copy in zip(versions, copies, strict=True):
        np.testing.assert_array_equal(version["model"], copy)
    assert len({copy.tobytes() for copy in copies}) == 4
    assert np.array_equal(other.initial, copies[0])


def test_mixing_mixes_the_trained_part_by_differences_and_the_buffers_by_values(
    experiment: Experiment,
) -> None:
    clock = {"mode": "async", "concurrency": 2, "mixing": 0.6}
    mixing = check_job("quickstart", [f"clock={clock}", "selection.participants=1", "rounds=1"])[
        0
    ].job.clock
    other = changed(experiment, clock=mixing)
    updates, averages = drawn(other, 1)
    old, state = first_state(other), first_state(other)
    state["model"] = state["model"] + np.float32(2)
    part = sums(other, updates, averages, [0.6])
    after = next_state(other, state, {4: old}, tasks([0.6], base=4), np.empty(0), part)["model"]
    trained, averaged, fixed = segments(other, after)
    now, base = segments(other, state["model"]), segments(other, old["model"])
    np.testing.assert_allclose(
        trained, 0.4 * now[0] + 0.6 * (base[0] + updates[0][0]), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(averaged, 0.4 * now[1] + 0.6 * averages[0], rtol=1e-6)
    np.testing.assert_array_equal(fixed, now[2])


def test_infinities_are_allowed_where_nothing_is_trained_or_averaged(
    experiment: Experiment,
) -> None:
    state = first_state(experiment)
    state["model"][-1] = -np.inf
    assert checked(experiment, state)["model"][-1] == -np.inf
    for index in (0, experiment.model.averages.start):
        state["model"][index] = np.nan
        with pytest.raises(
            TrainingError,
            match=f"the server's model is nan in tensor {experiment.model.where(index)}",
        ):
            checked(experiment, state)
        state["model"][index] = 0
    with pytest.raises(TrainingError, match="the server's other is inf"):
        checked(experiment, {**state, "other": np.full_like(state["model"], np.inf)})
