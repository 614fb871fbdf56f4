"""Rounds with measured costs: whom they wait for, what they cost and whose updates are kept, by hand.

A step of 10 samples takes 3, 1.5 and 6 s on the phones of clients 0, 1 and 2, and 1000 bytes take
1 s. What is declared are 3 steps, 1000 bytes down and 1000 up: 11, 6.5 and 20 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.clock.timeline import ClockState, Outcome
from mpifl.clock.workload import Workload
from mpifl.job import parse_job
from mpifl.population.population import Population
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import TASK
from mpifl.rounds.plan.probe import Probed, plan_probe
from mpifl.rounds.plan.round_result import METRIC
from mpifl.rounds.server.settling import Kept, Unsettled, ask_round, let_go, plan_settled
from mpifl.stopwatch import UNWATCHED
from tests.makers import PopulationOf

WORK = Workload(
    bytes_down=1000,
    bytes_up=1000,
    batch_size=10,
    epochs=1,
    local_steps=None,
)
PHONES: list[dict[str, Any]] = [{"ms": 100}, {"ms": 50}, {"ms": 200}]
LEAVES: dict[str, Any] = {"ms": 200, "slots": [(0, 5)]}
"""A phone that goes offline after 5 s."""

LATER = ClockState(now=10.0, version=4, draws=2)


@pytest.fixture
def population(population_of: PopulationOf) -> Population:
    return population_of(PHONES, held=30)


def experiment_of(
    population: Population, work: Workload = WORK, **sections: Any
) -> TimingExperiment:
    keys = {
        "rounds": 9,
        "seed": 3,
        "model": "logreg",
        "selection": {"name": "uniform", "participants": 3},
        "clock": {"mode": "all", "costs": "measured"},
    }
    return TimingExperiment(parse_job(keys | sections), population, work)


def ask(
    experiment: TimingExperiment,
    round_number: int,
    state: ClockState,
    kept: Kept,
    probed: Probed | None = None,
) -> Unsettled:
    rule = experiment.job.selection.start(experiment.population, experiment.workload)
    return ask_round(
        experiment, experiment.workload, round_number, state, rule, UNWATCHED, probed, kept
    )


def trained(client: int, steps: int, bytes_up: int = 0, failed: bool = False) -> Kept:
    metric = np.zeros(1, METRIC)
    metric["client"] = client
    metric["steps"] = steps
    metric["bytes_up"] = bytes_up
    metric["failed"] = failed
    return {client: metric[0]}


def by_client(rows: np.ndarray, *names: str) -> dict[int, Any]:
    return {int(row["client"]): tuple(row[name].item() for name in names) for row in rows}


def test_everyone_who_is_asked_is_to_be_trained_as_declared(population: Population) -> None:
    unsettled = ask(experiment_of(population), 7, LATER, {})
    assert unsettled.settled is None
    assert unsettled.tasks.dtype == TASK
    names = ("round", "began", "base", "steps", "samples", "sent", "weight")
    same = (7, 7, 4, 3, 30, 1.0, 0.0)
    assert by_client(unsettled.tasks, *names) == {0: same, 1: same, 2: same}


def test_a_round_takes_as_long_as_what_its_participants_did(population: Population) -> None:
    kept: Kept = {}
    unsettled = ask(experiment_of(population), 7, LATER, kept)
    kept |= trained(0, 2, 500) | trained(1, 3, 3000) | trained(2, 1)  # the last one is not coded
    unsettled.go_on()

    assert len(unsettled.asked) == len(unsettled.tasks) == 0
    assert unsettled.settled is not None
    timeline, after = unsettled.settled
    assert by_client(timeline.participants, "steps", "bytes_up", "stop_seconds") == {
        0: (2, 500, 10 + 1 + 6 + 0.5),
        1: (3, 3000, 10 + 1 + 4.5 + 3),
        2: (1, 1000, 10 + 1 + 6 + 1),
    }
    assert (timeline.end_seconds, after.now, after.version) == (18.5, 18.5, 5)


@pytest.mark.parametrize("client", [0, 1, 2])
def test_a_client_whose_training_failed_costs_what_was_declared_and_no_other(
    population: Population, client: int
) -> None:
    kept: Kept = {}
    unsettled = ask(experiment_of(population), 7, LATER, kept)
    kept |= trained(0, 2, 500) | trained(1, 1, 1) | trained(2, 1, 500)
    kept |= trained(client, 1, 7, failed=True)
    unsettled.go_on()

    assert unsettled.settled is not None
    costs: dict[int, tuple[int, int]] = {0: (2, 500), 1: (1, 1), 2: (1, 500), client: (3, 1000)}
    rows = unsettled.settled[0].participants
    assert by_client(rows, "steps", "bytes_up") == costs


def test_masked_updates_are_as_long_as_declared_however_short_they_were_coded(
    population: Population,
) -> None:
    """But the steps are those that were made."""

    def settled(steps: int, bytes_up: int) -> list[Any]:
        kept: Kept = {}
        work = Workload(1000, 1000, 10, 1, None, masked_entries=100)
        experiment = experiment_of(population, work, secure_aggregation="secagg")
        unsettled = ask(experiment, 7, LATER, kept)
        for client in range(3):
            kept |= trained(client, steps, bytes_up)
        unsettled.go_on()
        assert unsettled.settled is not None
        timeline = unsettled.settled[0]
        assert timeline.count(Outcome.COMPLETED) == 3
        return timeline.participants.tolist()

    plain = settled(2, 0)
    assert settled(2, 1) == plain
    assert settled(1, 0) != plain


def test_a_round_with_a_probe_begins_after_it_and_can_go_back_to_before_it(
    population: Population,
) -> None:
    rule = {"name": "power_of_choice", "participants": 3}
    experiment = experiment_of(population, selection=rule)
    probe = plan_probe(experiment.job, population, WORK, 7, LATER, {})
    probed = (probe, np.arange(len(probe.clients)) + 1.0)
    kept: Kept = {}
    unsettled = ask(experiment, 7, LATER, kept, probed)
    assert unsettled.before is LATER
    assert unsettled.probed is probed
    assert probe.timeline.end_seconds > LATER.now
    assert (unsettled.asked["start_seconds"] == probe.timeline.end_seconds).all()

    for client in range(3):
        kept |= trained(client, 3)
    unsettled.go_on()
    plan = plan_settled(experiment, unsettled)
    assert plan.timeline.start_seconds == LATER.now
    assert len(plan.timeline.participants) == 3 + len(probe.timeline.participants)


def first_of_two(population: Population) -> tuple[TimingExperiment, ClockState, Kept]:
    """A round of one update, by client 1 after 3.5 s; the others are under way after it.

    Client 0 stops after 7.5 s, client 2 after 20 s, client 3, if there is one, after 5 s.
    """
    experiment = experiment_of(
        population,
        selection={"name": "uniform", "participants": 1},
        clock={"mode": "buffered", "costs": "measured", "concurrency": population.clients},
    )
    kept: Kept = {}
    unsettled = ask(experiment, 1, ClockState(), kept)
    assert sorted(unsettled.asked["client"]) == list(range(population.clients))
    kept |= trained(0, 2, 500) | trained(1, 1) | trained(2, 3) | trained(3, 3)
    unsettled.go_on()
    plan = plan_settled(experiment, unsettled)
    assert by_client(plan.tasks, "round", "steps", "weight") == {1: (1, 1, 1.0)}
    assert (plan.round_number, plan.after.now, plan.after.version) == (1, 3.5, 1)

    kept |= trained(9, 1)
    let_go(kept, plan)
    assert sorted(kept) == list(range(population.clients))  # who counts, and who is under way
    del kept[1]  # as counting does
    return experiment, plan.after, kept


def test_updates_are_kept_until_they_land_or_their_client_drops_out(
    population_of: PopulationOf,
) -> None:
    experiment, state, kept = first_of_two(population_of([*PHONES, LEAVES], held=30))
    unsettled = ask(experiment, 2, state, kept)
    assert by_client(unsettled.tasks, "round", "began", "base") == {1: (2, 2, 1)}
    kept |= trained(1, 3)
    unsettled.go_on()
    assert len(unsettled.asked) == 0

    plan = plan_settled(experiment, unsettled)
    names = ("outcome", "stop_seconds")
    assert by_client(plan.timeline.participants, *names) == {
        0: (Outcome.COMPLETED, 7.5),
        3: (Outcome.DROPPED, 5.0),
    }
    let_go(kept, plan)
    assert sorted(kept) == [0, 1, 2]


def test_who_has_completed_a_round_and_lost_its_update_is_trained_once_more(
    population_of: PopulationOf,
) -> None:
    """With the steps that it began with, of which it makes as many again. Others are not."""
    experiment, state, kept = first_of_two(population_of([*PHONES, LEAVES], held=30))
    kept.clear()
    unsettled = ask(experiment, 2, state, kept)
    kept |= trained(1, 3)
    unsettled.go_on()
    assert unsettled.settled is None
    names = ("round", "began", "base", "steps")
    assert by_client(unsettled.tasks, *names) == {0: (2, 1, 0, 3)}

    kept |= trained(0, 2, 500)
    unsettled.go_on()
    assert len(unsettled.asked) == 0
    plan = plan_settled(experiment, unsettled)
    assert by_client(plan.tasks, *names) == {0: (2, 1, 0, 2)}
    assert plan.after.now == 7.5
