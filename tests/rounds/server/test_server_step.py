"""The server's step: what it makes of a round's sums, whatever the algorithm returns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mpifl.aggregation.device_sum import DeviceSum
from mpifl.aggregation.exact_sum import LOW_BITS, RoundSum
from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import SCALAR, Array, Arrays
from mpifl.algorithms.context import ServerContext
from mpifl.algorithms.ditto import Ditto
from mpifl.algorithms.fedasync import FedAsync
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.fedyogi import FedYogi
from mpifl.algorithms.ifca import Ifca
from mpifl.algorithms.scaffold import Scaffold
from mpifl.clock.timeline import PARTICIPANT, ClockState, Timeline
from mpifl.errors import TrainingError
from mpifl.models.layout import Layout
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK, Plan
from mpifl.rounds.plan.round_result import LAST, METRIC
from mpifl.rounds.server.privatising import noise_stream
from mpifl.rounds.server.server_step import checked, first_state, next_state
from mpifl.training.device import CPU
from tests.normed import HERE
from tests.summed import no_sums

VALUES = st.floats(0, 2.0**30, width=32)
Upload = tuple[int, float, list[np.ndarray], np.ndarray]
"""Slot, weight, the arrays (the model's trained segment), and the averaged segment."""


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


def running(experiment: Experiment, algorithm: Algorithm) -> Experiment:
    return replace(experiment, job=experiment.job.model_copy(update={"algorithm": algorithm}))


def plan_of(weights: list[float]) -> Plan:
    """Round 3, in which clients 0, 1, ... complete with these weights and one more was asked."""
    tasks = np.zeros(len(weights), TASK)
    tasks["round"], tasks["client"], tasks["weight"] = 3, np.arange(len(weights)), weights
    timeline = Timeline(0.0, 1.0, 0.0, np.zeros(len(weights) + 1, PARTICIPANT))
    return Plan(3, tasks, timeline, ClockState(), 20.0)


def metrics_of(slots: list[int], failed: tuple[int, ...] = ()) -> np.ndarray:
    metrics = np.zeros(len(slots), METRIC)
    metrics["round"], metrics["client"], metrics["slot"] = 3, np.arange(len(slots)), slots
    metrics["failed"][list(failed)] = 1
    return metrics


def sums(experiment: Experiment, uploads: list[Upload]) -> RoundSum:
    part = no_sums(experiment.sums)
    adding = DeviceSum(part, experiment.sums, CPU)
    for slot, weight, arrays, averages in uploads:
        for number, values in enumerate(arrays):
            flat = torch.from_numpy(np.float32(values).reshape(-1))
            assert adding.add(number, slot, flat, weight, (0, number)) is None
        averaged = torch.from_numpy(np.float32(averages))
        assert adding.add_averages(slot, averaged, weight, (0, None)) is None
    return part


def stepped(experiment: Experiment, state: Arrays, uploads: list[Upload]) -> Arrays:
    """The state after a round with these uploads of clients 0, 1, ..."""
    plan = plan_of([weight for _, weight, _, _ in uploads])
    metrics = metrics_of([slot for slot, _, _, _ in uploads])
    return next_state(experiment, state, plan, metrics, sums(experiment, uploads), {})


def drawn(experiment: Experiment, weights: list[float], slots: list[int] | None = None) -> Any:
    """Uploads of random numbers, one for each weight."""
    random = np.random.default_rng(len(weights))
    layout = experiment.layout
    found = []
    for slot, weight in zip(slots or [0] * len(weights), weights, strict=True):
        arrays = [
            (min(1, 2.0 ** (40 - array.bits)) * random.standard_normal(array.size)).astype(
                np.float32
            )
            for array in experiment.sums.arrays
        ]
        found.append((slot, weight, arrays, np.float32(random.uniform(0, 9, layout.averaged))))
    return found


def segments(experiment: Experiment, model: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    layout = experiment.layout
    assert layout.averaged > 0
    return model[..., : layout.trained], model[..., layout.averages]


@pytest.mark.parametrize(
    "weights", [[0.25, 0.75], [0.1, 0.3], [0.36]], ids=["all", "late", "one late"]
)
def test_the_two_segments(experiment: Experiment, weights: list[float]) -> None:
    uploads = drawn(experiment, weights)
    state = first_state(experiment)
    state["model"][experiment.layout.averages] = 3.0
    before = state["model"].copy()
    trained, averaged = segments(experiment, stepped(experiment, state, uploads)["model"])
    update = sum(weight * arrays[0] for _, weight, arrays, _ in uploads)
    np.testing.assert_allclose(trained, segments(experiment, before)[0] + update, rtol=1e-5)
    # A weighted mean of what was there and what came, which is no difference to anything.
    mean = (1 - sum(weights)) * 3.0 + sum(w * np.float64(v) for _, w, _, v in uploads)
    np.testing.assert_array_equal(averaged, mean.astype(np.float32))
    np.testing.assert_array_equal(state["model"], before)


@pytest.mark.parametrize(
    ("algorithm", "slots"), [("fedavg", [0, 0]), ("{name: ifca, clusters: 3}", [2, 0, 2])]
)
def test_what_came_out_of_a_rule_that_remembers_is_kept_and_stays_where_nobody_was(
    algorithm: str, slots: list[int]
) -> None:
    """Centered clipping begins with it: in each slot the mean of its updates, however late they are."""
    rule = "aggregation={name: centered_clipping, radius: 1}"
    experiment = check_job("quickstart", [f"algorithm={algorithm}", rule, "model.hidden=[5]"])[0]
    assert isinstance(experiment, Experiment)
    state = first_state(experiment)
    assert state[LAST].shape == (experiment.sums.slots, experiment.layout.trained)
    assert not state[LAST].any()
    state[LAST] = state[LAST] + np.float32(7)

    weights = [0.1, 0.3, 0.2][: len(slots)]
    uploads = drawn(experiment, weights, slots)
    after = stepped(experiment, state, uploads)[LAST]
    assert after.dtype == np.float32
    for slot in range(experiment.sums.slots):
        own = [(weight, arrays[0]) for at, weight, arrays, _ in uploads if at == slot]
        mean = sum(weight * np.float64(array) for weight, array in own)
        expected = mean / sum(weight for weight, _ in own) if own else np.full(after.shape[1], 7.0)
        np.testing.assert_allclose(after[slot], expected, rtol=1e-5, atol=1e-10)


def test_what_is_frozen_is_in_no_state(experiment: Experiment) -> None:
    assert len(experiment.model.fixed) == 5 * 64 + 5
    assert len(first_state(experiment)["model"]) == experiment.layout.size
    assert experiment.layout.size + 325 == len(experiment.model.weights)


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
    layout = experiment.layout
    nothing = [np.zeros(layout.trained)]
    state = first_state(experiment)
    state["model"][layout.averages] = old
    uploads = [
        (0, weight, nothing, np.full(layout.averaged, value))
        for weight, (value, _) in zip(weights, terms, strict=True)
    ]
    _, averaged = segments(experiment, stepped(experiment, state, uploads)["model"])
    seen = np.array([old, *(value for value, _ in terms)], np.float32)
    if share == 1:
        seen = seen[1:]
    # What rounding each term to the sum's unit may take away.
    unit = len(terms) * 2.0 ** -(LOW_BITS + 1)
    assert averaged.min() >= np.nextafter(seen.min(), np.float32(0)) - unit
    assert averaged.max() <= np.nextafter(seen.max(), np.float32(np.inf)) + unit
    if len({*seen.tolist()}) == 1 and (seen[0] == 0 or seen[0] > 1e-6):
        assert (averaged == seen[0]).all()


def test_the_weights_of_the_others_count_for_a_client_that_failed(experiment: Experiment) -> None:
    uploads = drawn(experiment, [0.2, 0.3])
    state = first_state(experiment)
    part = sums(experiment, uploads[1:])
    plan, metrics = plan_of([0.2, 0.3]), metrics_of([0, 0], failed=(0,))
    found = next_state(experiment, state, plan, metrics, part, {})["model"]
    _, _, arrays, averages = uploads[1]
    expected = stepped(experiment, state, [(0, 0.5, arrays, averages)])["model"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    old = segments(experiment, state["model"])[1].astype(np.float64)
    np.testing.assert_allclose(
        segments(experiment, found)[1], 0.5 * old + 0.5 * averages, rtol=1e-6
    )


def test_metrics_may_come_in_any_order(experiment: Experiment) -> None:
    other = running(experiment, Ifca(clusters=3))
    uploads = drawn(other, [0.2, 0.3, 0.5], [2, 0, 0])
    plan, part = plan_of([0.2, 0.3, 0.5]), sums(other, uploads)
    found = [
        next_state(other, first_state(other), plan, metrics_of([2, 0, 0])[order], part, {})
        for order in ([0, 1, 2], [2, 0, 1])
    ]
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values)


HANDED_OUT: list[np.ndarray] = []


class Everything(FedAvg):
    """Moves all that there is, and goes on with the array that it returned."""

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        return {"model": model + 1, "kept": np.zeros_like(model)}

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        assert not any(values[-10:].any() for values in mean.values())  # 5 + 5 averaged
        moved = (s.state["model"] + 100).astype(np.float32)
        HANDED_OUT.append(moved)
        return {"model": moved}


@pytest.mark.parametrize(
    "algorithm",
    [FedAvg(), FedYogi(), Scaffold(), Ditto(), Ifca(), FedAsync(), Everything(name="all")],
    ids=lambda a: type(a).__name__,
)
def test_no_algorithm_touches_what_is_not_trained(
    experiment: Experiment, algorithm: Algorithm
) -> None:
    other = running(experiment, algorithm)
    uploads = drawn(other, [0.5, 0.5])
    state = first_state(other)
    np.testing.assert_array_equal(
        segments(other, state["model"])[1], segments(other, other.initial)[1]
    )
    after = stepped(other, state, uploads)
    mean = np.mean([averages for _, _, _, averages in uploads], 0)
    np.testing.assert_allclose(segments(other, after["model"])[1], mean, rtol=1e-6)
    if isinstance(algorithm, Everything):
        assert (HANDED_OUT[-1] == state["model"] + 100).all()  # its own array was not written to
        assert not after["kept"].any()
    if isinstance(algorithm, Scaffold):
        control, averaged = segments(other, after["control"])
        assert control.any()
        assert not averaged.any()


class Unmoved(FedAvg):
    """Returns what it was given to read."""

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        return {"model": model, "extra": np.ones(3)}

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"model": s.state["model"], "extra": s.state["extra"]}


def test_what_a_server_returns_as_it_was_can_be_shared_with_torch(experiment: Experiment) -> None:
    other = running(experiment, Unmoved(name="unmoved"))
    after = stepped(other, first_state(other), drawn(other, [0.25, 0.75]))
    assert all(values.flags.writeable for values in after.values())  # torch warns of others


class InPlace(FedAvg):
    """Works in place on what it is given."""

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        s.state["model"] += mean["update"].astype(np.float32)
        return {"model": s.state["model"]}


def test_a_server_that_changes_its_state_in_place_is_refused(experiment: Experiment) -> None:
    """Issue 12, point 3: older versions, which clients still train from, were overwritten."""
    other = running(experiment, InPlace(name="in place"))
    state = first_state(other)
    before = state["model"].copy()
    with pytest.raises(TrainingError, match="'in place' changes the server's state in place"):
        stepped(other, state, drawn(other, [1.0]))
    np.testing.assert_array_equal(state["model"], before)


class Breaks(FedAvg):
    """Fails for a reason of its own."""

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        raise ValueError("the moon is full")


def test_an_error_of_the_server_is_its_own(experiment: Experiment) -> None:
    other = running(experiment, Breaks(name="breaks"))
    with pytest.raises(ValueError, match="the moon is full"):
        stepped(other, first_state(other), drawn(other, [1.0]))


def test_versions_that_clients_train_from_stay_as_they_are(experiment: Experiment) -> None:
    versions = [first_state(experiment)]
    copies = [versions[0]["model"].copy()]
    for _ in range(3):
        versions.append(stepped(experiment, versions[-1], drawn(experiment, [1.0])))
        copies.append(versions[-1]["model"].copy())
    for version, copy in zip(versions, copies, strict=True):
        np.testing.assert_array_equal(version["model"], copy)
    assert len({copy.tobytes() for copy in copies}) == 4
    assert np.array_equal(experiment.initial, copies[0])


def test_fedasync_mixes_the_models_and_the_buffers(experiment: Experiment) -> None:
    """arXiv 1903.03934, algorithm 1: w = (1 - a) w + a w_client, here with a = 0.6 x 0.5 for being late."""
    other = running(experiment, FedAsync())
    state = first_state(other)
    (_, _, (weights,), averages), *_ = uploads = drawn(other, [0.3])
    trained, averaged = segments(other, stepped(other, state, uploads)["model"])
    old = segments(other, state["model"])
    np.testing.assert_allclose(trained, 0.7 * old[0] + 0.3 * weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(averaged, 0.7 * old[1] + 0.3 * averages, rtol=1e-6)


SEEN: list[tuple[ServerContext, Arrays]] = []


class Slots(Algorithm):
    """Three slots for a number, a table, and two models in a unit of their own; notes what its server is given."""

    uploaded: ClassVar[dict[str, Array]] = {
        "number": SCALAR,
        "table": Array((2, 3), bits=20),
        "models": Array((2, "model"), bits=80),
    }
    name: str = "slots"

    @property
    def slots(self) -> int:
        return 3

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        SEEN.append((s, mean))
        return {"model": s.state["model"]}


@pytest.mark.parametrize("late", [1.0, 0.5], ids=["in time", "late"])
@pytest.mark.parametrize("failed", [(), (3,)], ids=["all", "one failed"])
def test_each_slot_has_its_own_mean_of_every_array(
    experiment: Experiment, late: float, failed: tuple[int, ...]
) -> None:
    """By hand: clients 0 and 2 are in slot 2, client 1 in slot 0, nobody in slot 1; client 3 is in slot 0 or fails."""
    other = running(experiment, Slots())
    layout = other.layout
    random = np.random.default_rng(5)
    weights = [late * weight for weight in (0.1, 0.2, 0.3, 0.4)]
    clients: list[dict[str, Any]] = [
        {
            "number": np.float32(random.normal()),
            "table": random.standard_normal((2, 3)).astype(np.float32),
            "models": (1e-7 * random.standard_normal((2, layout.size))).astype(np.float32),
            "averages": random.uniform(0, 9, layout.averaged).astype(np.float32),
        }
        for _ in weights
    ]
    slots = [2, 0, 2, 0]
    uploads = [
        (
            slot,
            weight,
            [client["number"], client["table"], client["models"][:, : layout.trained]],
            client["averages"],
        )
        for slot, weight, client in zip(slots, weights, clients, strict=True)
    ]
    trained = [number for number in range(4) if number not in failed]
    part = sums(other, [uploads[number] for number in trained])
    state = first_state(other)
    after = next_state(other, state, plan_of(weights), metrics_of(slots, failed), part, {})
    s, mean = SEEN.pop()

    # Of those that did not fail, with weights that add up to those of all.
    scale = sum(weights) / sum(weights[number] for number in trained)
    of_slot = [[n for n in trained if slots[n] == slot] for slot in range(3)]
    expected = [scale * sum(weights[n] for n in members) for members in of_slot]
    np.testing.assert_allclose(s.slots, expected, rtol=1e-12)
    assert s.weight == pytest.approx(late)
    assert s.slots.sum() == pytest.approx(late)
    assert (s.participants, s.asked, s.clients, s.round) == (len(trained), 5, 20, 3)

    shapes = {"number": (3,), "table": (3, 2, 3), "models": (3, 2, layout.size)}
    assert {name: values.shape for name, values in mean.items()} == shapes
    assert all(values.dtype == np.float64 for values in mean.values())
    for slot, members in enumerate(of_slot):
        if not members:
            assert not any(values[slot].any() for values in mean.values())
            assert np.isnan(s.averages[slot]).all()
            continue
        for name, unit in (("number", 2.0**-40), ("table", 2.0**-20), ("models", 2.0**-80)):
            of_clients = [np.float64(clients[n][name]) for n in members]
            by_hand = np.average(of_clients, axis=0, weights=[weights[n] for n in members])
            if name == "models":
                by_hand[:, layout.averages] = 0
            # Each term is rounded to the unit before the sum is divided by the slot's weight.
            tolerance = len(members) * unit * scale / expected[slot]
            np.testing.assert_allclose(mean[name][slot], by_hand, rtol=1e-12, atol=tolerance)
        averages = [np.float64(clients[n]["averages"]) for n in members]
        by_hand = np.average(averages, axis=0, weights=[weights[n] for n in members])
        np.testing.assert_allclose(s.averages[slot], by_hand, rtol=1e-9)

    # The averaged segment of the model is the mean over all slots.
    every = sum(scale * weights[n] * np.float64(clients[n]["averages"]) for n in trained)
    old = np.float64(segments(other, state["model"])[1])
    found = segments(other, after["model"])[1]
    np.testing.assert_allclose(found, (1 - late) * old + every, rtol=1e-6)
    np.testing.assert_array_equal(
        segments(other, after["model"])[0], segments(other, state["model"])[0]
    )


class Single(Slots):
    """The same with one slot."""

    name: str = "single"

    @property
    def slots(self) -> int:
        return 1


def test_with_one_slot_means_have_the_shapes_that_are_declared(experiment: Experiment) -> None:
    """They are weighted sums: of late updates, whose weights add up to less than 1, they are less than the mean."""
    other = running(experiment, Single())
    uploads = drawn(other, [0.1, 0.3])
    stepped(other, first_state(other), uploads)
    s, mean = SEEN.pop()
    layout = other.layout
    assert {name: values.shape for name, values in mean.items()} == {
        "number": (),
        "table": (2, 3),
        "models": (2, layout.size),
    }
    by_hand = 0.1 * np.float64(uploads[0][2][1]) + 0.3 * np.float64(uploads[1][2][1])
    np.testing.assert_allclose(mean["table"], by_hand.reshape(2, 3), rtol=0, atol=2.0**-20)
    assert s.slots.tolist() == [pytest.approx(0.4)]
    averages = np.average([upload[3] for upload in uploads], axis=0, weights=[0.1, 0.3])
    np.testing.assert_allclose(s.averages[0], averages, rtol=1e-6)


def test_the_servers_generator_depends_on_seed_and_round_only(experiment: Experiment) -> None:
    other = running(experiment, Single())
    for clients in ([1.0], [0.5, 0.5]):
        stepped(other, first_state(other), drawn(other, clients))
    first, second = (s.make_generator().random(4).tolist() for s, _ in SEEN[-2:])
    assert first == second == SEEN.pop()[0].make_generator().random(4).tolist()
    SEEN.clear()


class Returns(FedAvg):
    """Returns an array of its own."""

    what: str

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        return {"model": model, "tables": np.zeros((2, 3)), "number": np.array(1, np.float32)}

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        answers: dict[str, dict[str, Any]] = {
            "new": {"more": np.zeros(3)},
            "shape": {"tables": np.zeros((3, 2))},
            "model": {"model": s.state["model"][1:]},
            "nan": {"tables": np.array([[0, 0, 0], [0, np.nan, 0]])},
            "inf": {"number": np.inf},
            "fine": {"tables": np.ones((2, 3)), "number": 2.5},
        }
        return answers[self.what]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "new",
            "the algorithm's server returns more, which its start does not: the state has model, tables, number",
        ),
        ("shape", r"the server's tables has the shape \(3, 2\), before it was \(2, 3\)"),
        ("model", r"the server's model has the shape"),
        ("nan", "the server's tables is nan in entry 4"),
        ("inf", "the server's number is inf in entry 0"),
    ],
)
def test_a_state_that_is_unusable_is_refused(experiment: Experiment, what: str, said: str) -> None:
    other = running(experiment, Returns(what=what))
    with pytest.raises(TrainingError, match=said):
        stepped(other, first_state(other), drawn(other, [1.0]))


def test_arrays_that_are_not_returned_stay(experiment: Experiment) -> None:
    other = running(experiment, Returns(what="fine"))
    state = first_state(other)
    after = stepped(other, state, drawn(other, [1.0]))
    np.testing.assert_array_equal(
        segments(other, after["model"])[0], segments(other, state["model"])[0]
    )
    assert after["tables"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert (after["number"].shape, float(after["number"])) == ((), 2.5)
    assert {values.dtype for values in after.values()} == {np.dtype(np.float32)}


def test_what_is_not_finite_is_named(experiment: Experiment) -> None:
    state = first_state(experiment)
    for index in (0, experiment.layout.averages.start):
        state["model"][index] = np.nan
        name = experiment.model.where(index)
        with pytest.raises(TrainingError, match=f"the server's model is nan in tensor {name}"):
            checked(experiment, state)
        models = np.stack([np.zeros_like(state["model"]), state["model"]])
        with pytest.raises(TrainingError, match=f"the server's models is nan in tensor {name}"):
            checked(experiment, {"models": models})
        state["model"][index] = 0
    with pytest.raises(TrainingError, match="the server's other is inf"):
        checked(experiment, {**state, "other": np.full_like(state["model"], np.inf)})


class Told(FedAvg):
    """A server whose model says what it was told of the round."""

    name: str = "told"

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        told = s.participants + 10 * s.asked + 100 * s.weight + 1000 * s.slots.sum()
        return {"model": np.full_like(s.state["model"], told)}


@pytest.mark.parametrize("came", [0, 1, 3])
def test_with_poisson_sampling_and_noise_the_step_does_not_tell_how_many_came(came: int) -> None:
    private = [
        "selection={name: poisson, participants: 2}",
        "clock={mode: all, availability: always}",
        "exchange.up=clip",
        "privacy={name: gaussian, noise_multiplier: 0}",
    ]
    found = check_job("quickstart", private)[0]
    assert isinstance(found, Experiment)
    told = running(found, Told())
    state = first_state(told)
    plan = plan_of([1 / came] * came if came else [])
    metrics = metrics_of([0] * came)
    after = next_state(told, state, plan, metrics, no_sums(told.sums), {}, noise_stream(told))
    assert (after["model"] == 2 + 20 + 100 + 1000).all()
