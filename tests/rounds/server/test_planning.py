"""What rank 0 assigns next, and that it assigns the same again until that has come to its end."""

from __future__ import annotations

import numpy as np
import pytest

from mpifl.clock.timeline import ClockState
from mpifl.rounds.clients.assignment import Assignment, Stage
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import largest_first, make_plan
from mpifl.rounds.plan.round_result import METRIC, PERSONAL
from mpifl.rounds.plan.snapshot import Snapshot, Waiting
from mpifl.rounds.server import planning
from mpifl.rounds.server.planning import awaits_training, forget_kept, next_assignment
from mpifl.rounds.server.server import Server, make_server
from mpifl.stopwatch import UNWATCHED

JOB = (
    "model=logreg",
    "data.partition={name: dirichlet, clients: 20, alpha: 0.5}",
    "selection.participants=4",
    "rounds=6",
)
ONE_BY_ONE = ("training.engine=stacked", "training.stack=1")
BUFFERED = ("clock={mode: buffered, concurrency: 8, availability: always}",)
MEASURED = ("clock={mode: all, availability: always, costs: measured}",)
PROBES = ("selection={name: power_of_choice, participants: 4}",)


def server_of(*overrides: str) -> Server:
    experiment, _ = check_job("quickstart", [*JOB, *overrides])
    assert isinstance(experiment, Experiment)
    return make_server(experiment, Snapshot())


def next_of(server: Server, oldest: int = 0) -> Assignment:
    return next_assignment(server, oldest, UNWATCHED)


def end_rounds(server: Server) -> None:
    """Let the rounds of the assignment be over, as far as planning looks at it."""
    server.rounds_done += len(server.plans)
    server.plans = []


def content(assignment: Assignment) -> tuple[object, ...]:
    return (
        assignment.first_round,
        assignment.rounds,
        assignment.stage,
        assignment.tasks.tolist(),
        assignment.tests.tolist(),
        assignment.personal.tolist(),
        assignment.probes.tolist(),
        assignment.kept.tolist(),
    )


def one_by_one(tasks: np.ndarray) -> list[tuple[int, int]]:
    """Return (round, client) of tasks that are trained one at a time, the largest first."""
    keys = [
        (-samples, round_number, client)
        for round_number, client, samples in tasks[["round", "client", "samples"]].tolist()
    ]
    return [(round_number, client) for _, round_number, client in sorted(keys)]


def order(tasks: np.ndarray) -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in tasks[["round", "client"]].tolist()]


def train(server: Server, clients: list[int], steps: int = 1) -> None:
    """Keep updates as executors that have trained them."""
    for client in clients:
        metric = np.zeros(1, METRIC)
        metric["client"] = client
        metric["steps"] = steps
        server.kept[client] = metric[0]


@pytest.mark.parametrize("keys", [(), BUFFERED], ids=["sync", "buffered"])
def test_a_round_is_planned_once_and_assigned_again_until_it_is_over(keys: tuple[str, ...]) -> None:
    server = server_of(*keys)
    first = next_of(server)
    clock = server.clock
    assert (first.first_round, first.stage) == (1, Stage.WHOLE)
    assert first.rounds >= 1
    assert len(first.tasks) == 4 * first.rounds
    assert content(next_of(server)) == content(first)
    assert server.clock is clock

    end_rounds(server)
    second = next_of(server)
    assert second.first_round == 1 + first.rounds
    assert server.clock.now > clock.now


def test_the_last_round_is_planned_as_any_other() -> None:
    only = next_of(server_of("rounds=1"))
    assert (only.first_round, only.rounds, len(only.tasks)) == (1, 1, 4)


@pytest.mark.parametrize("keys", [(), PROBES, MEASURED], ids=["declared", "probes", "measured"])
def test_after_the_last_round_there_are_tests_alone(keys: tuple[str, ...]) -> None:
    first = server_of()
    next_of(first)
    plan = first.plans[0]
    server = server_of(*keys)
    clock = server.clock
    server.rounds_done = server.last_round = 6
    server.untested = [Waiting(plan, np.empty(0, METRIC), version) for version in (6, None, 5, 6)]
    last = next_of(server)
    assert (last.first_round, last.rounds, len(last.tasks)) == (7, 0, 0)
    assert (last.stage, len(last.probes)) == (Stage.WHOLE, 0)
    assert last.tests.tolist() == [5, 6]
    assert server.clock is clock


def test_a_probe_is_assigned_again_until_its_answers_have_come() -> None:
    server = server_of(*PROBES)
    first = next_of(server)
    assert (first.rounds, len(first.tasks)) == (0, 0)
    assert len(first.probes) > 4
    probe = server.probe
    assert content(next_of(server)) == content(first)
    assert server.probe is probe

    assert probe is not None
    losses = np.arange(len(first.probes), dtype=np.float64)
    server.probe = (probe[0], losses)
    then = next_of(server)
    assert (then.rounds, len(then.probes)) == (1, 0)
    assert set(then.tasks["client"]) <= set(first.probes[-len(then.tasks) * 2 :].tolist())


def test_a_round_with_measured_costs_is_trained_by_all_then_counted() -> None:
    server = server_of(*MEASURED, *ONE_BY_ONE)
    first = next_of(server)
    asked = first.tasks["client"].tolist()
    assert (first.stage, first.first_round, first.rounds) == (Stage.TRAIN, 1, 0)
    assert len(set(asked)) == 4
    assert order(first.tasks) == one_by_one(first.tasks)
    assert (first.tasks["weight"] == 0).all()

    train(server, asked[:-1])  # the others' results were lost
    again = next_of(server)
    assert (again.stage, order(again.tasks)) == (Stage.TRAIN, order(first.tasks))
    assert again.kept.tolist() == sorted(asked[:-1])
    assert server.clock.now == 0

    train(server, asked)
    count = next_of(server)
    assert (count.stage, count.first_round, count.rounds) == (Stage.COUNT, 1, 1)
    assert sorted(count.tasks["client"].tolist()) == count.kept.tolist() == sorted(asked)
    assert (count.tasks["steps"] == 1).all()
    assert count.tasks["weight"].sum() == pytest.approx(1)
    assert server.clock.now == server.plans[0].timeline.end_seconds > 0
    assert content(next_of(server)) == content(count)


def test_an_update_that_was_kept_of_an_earlier_call_is_not_taken_for_a_new_one() -> None:
    expected = next_of(server_of(*MEASURED))
    server = server_of(*MEASURED)
    train(server, [int(expected.tasks["client"][0])])
    assert awaits_training(server) is False
    found = next_of(server)
    assert content(found) == content(expected)
    assert found.kept.tolist() == []


def test_a_round_whose_kept_updates_are_lost_is_asked_for_again() -> None:
    server = server_of(*MEASURED)
    before = server.clock
    first = next_of(server)
    train(server, first.tasks["client"].tolist())
    assert next_of(server).stage == Stage.COUNT
    forget_kept(server)
    assert server.clock is before
    assert content(next_of(server)) == content(first)


@pytest.mark.parametrize("attacks", [False, True])
def test_tasks_say_in_which_attacks_their_clients_take_part(attacks: bool) -> None:
    even, threes = [*range(0, 20, 2)], [*range(0, 20, 3)]
    key = (
        f"attacks=[{{name: sign_flip, clients: {even}}},"
        f" {{name: zero, clients: {threes}, first_round: 2}}]"
    )
    server = server_of("selection.participants=12", *([key] if attacks else []))
    seen = set()
    for number in (1, 2):
        tasks = next_of(server).tasks
        expected = [
            attacks * ((client in even) + 2 * (client in threes and number >= 2))
            for client in tasks["client"].tolist()
        ]
        assert tasks["attacks"].tolist() == expected
        seen |= set(expected)
        end_rounds(server)
    assert seen == ({0, 1, 2, 3} if attacks else {0})


@pytest.mark.parametrize("clients", [[3], [3, 5, 11]])
def test_clients_are_tested_once_with_the_models_that_they_have_after_a_version(
    clients: list[int],
) -> None:
    """Rounds 2 and 3 end with the same version, because nobody completed round 3."""
    server = server_of()
    next_of(server)
    plan = server.plans[0]
    server.plans = []
    server.rounds_done = server.last_round = 5

    def waiting(version: int, round_number: int) -> Waiting:
        rows = np.zeros(len(clients), PERSONAL)
        rows["version"], rows["round"], rows["client"] = version, round_number, clients
        return Waiting(plan, np.empty(0, METRIC), version, rows)

    untested = Waiting(plan, np.empty(0, METRIC), None)
    server.untested = [waiting(2, 2), waiting(2, 3), untested, waiting(3, 5)]
    for oldest, expected in ((4, 2), (1, 1)):
        assignment = next_of(server, oldest)
        assert assignment.tests.tolist() == [2, 3]
        tested = assignment.personal[["version", "round", "client"]].tolist()
        assert tested == [(v, r, client) for v, r in ((2, 2), (3, 5)) for client in clients]
        assert assignment.oldest == expected  # what clients kept after round 2 is read


@pytest.mark.parametrize("most", [1, 2, 64])
def test_rounds_whose_base_versions_are_there_are_one_queue_the_largest_tasks_first(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "ASSIGNMENT_ROUNDS", most)
    server = server_of(*BUFFERED, *ONE_BY_ONE, "clock.concurrency=16", "selection.participants=2")
    found = next_of(server)

    # The same rounds, each planned by itself: until somebody trains from what the first one makes.
    job, population, workload = (
        getattr(server.experiment, name) for name in ("job", "population", "workload")
    )
    plans = [make_plan(job, population, workload, 1, ClockState())]
    while not plans[-1].tasks["base"].any():
        plans.append(make_plan(job, population, workload, len(plans) + 1, plans[-1].after))
    own = plans[: min(most, len(plans) - 1)]
    assert len(plans) > 3
    assert found.rounds == len(own)
    assert server.clock.now == own[-1].after.now

    tasks = np.concatenate([largest_first(plan.tasks, 1) for plan in own])
    assert order(found.tasks) == one_by_one(tasks)
    assert (order(tasks) == one_by_one(tasks)) == (most == 1)  # there was something to order

    end_rounds(server)
    monkeypatch.setattr(planning, "ASSIGNMENT_ROUNDS", 1)
    assert order(next_of(server).tasks) == order(largest_first(plans[len(own)].tasks, 1))
