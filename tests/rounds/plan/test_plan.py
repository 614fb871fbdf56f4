from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.clock.timeline import ClockState, Outcome
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.job import Job, parse_job
from mpifl.population.population import Population
from mpifl.rounds.plan.plan import TASK, is_released, largest_first, make_plan, task_groups
from mpifl.traces.trace import Trace
from tests.asking import ask
from tests.known import known

HELD = [25, 4, 25, 60, 11, 4, 33]
WORKLOAD = Workload(bytes_down=1000, bytes_up=1000, batch_size=10, epochs=2, local_steps=None)


def _job(algorithm: str = "fedavg", participants: int = 12, **sections: object) -> Job:
    return parse_job(
        {
            "name": "plan",
            "seed": 3,
            "rounds": 5,
            "data": {
                "name": "digits",
                "partition": {"name": "dirichlet", "clients": 100, "alpha": 0.5},
            },
            "population": {"trace": "phones"},
            "model": {"name": "mlp", "hidden": [8]},
            "training": {"batch_size": 10, "epochs": 2, "lr": 0.2},
            "selection": {"name": "uniform", "participants": participants},
            "clock": {"mode": "sync", "overcommitment": 1.5},
            "algorithm": {"name": algorithm},
            "evaluation": {"every": 1},
        }
        | sections
    )


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    """50 clients that share seven clients' data, on fast phones, slow ones, and some that go offline after 0.5 s."""
    slots = [[(0, 100)], [(0, 100)], [(0, 0.5)]]
    trace = make_trace(
        slots, compute_ms_per_sample=[10, 20, 10], download_kbps=[800] * 3, upload_kbps=[800] * 3
    )
    return make_population(make_dataset(HELD), trace, clients=50)


def _held(client: int) -> int:
    return HELD[client % len(HELD)]


def test_only_those_who_completed_are_trained(population: Population) -> None:
    plan = make_plan(_job(), population, WORKLOAD, 1, ClockState())
    timeline = plan.timeline
    ends = timeline.participants
    completed = {
        client
        for client, how in zip(ends["client"], ends["outcome"], strict=True)
        if how == Outcome.COMPLETED
    }
    assert set(plan.tasks["client"]) == completed
    assert len(plan.tasks) == len(completed) == timeline.count(Outcome.COMPLETED)
    # The round has to have had all three ends for this to say anything.
    assert all(
        timeline.count(outcome) > 0 for outcome in (Outcome.COMPLETED, Outcome.DROPPED, Outcome.CUT)
    )


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_tasks_are_in_the_order_of_the_participants(population: Population, algorithm: str) -> None:
    plan = make_plan(_job(algorithm), population, WORKLOAD, 1, ClockState())
    ends = plan.timeline.participants
    assert plan.tasks.dtype == TASK
    assert (
        plan.tasks["client"].tolist()
        == ends["client"][ends["outcome"] == Outcome.COMPLETED].tolist()
    )
    assert len(set(plan.tasks["samples"])) > 1


def test_the_largest_tasks_come_first_and_equal_ones_by_client_number(
    population: Population,
) -> None:
    tasks = make_plan(_job(), population, WORKLOAD, 1, ClockState()).tasks
    found = largest_first(tasks, 1)
    assert found.dtype == TASK
    assert found.tolist() == sorted(
        tasks.tolist(), key=lambda task: (-_field(task, "samples"), _field(task, "client"))
    )
    assert len(set(tasks["samples"])) < len(tasks)  # there was a tie to break


def _field(task: tuple[Any, ...], name: str) -> Any:
    return task[known(TASK.names).index(name)]


ROUNDS = st.dictionaries(
    st.integers(1, 2**31 - 1),
    st.dictionaries(st.integers(0, 10**12), st.integers(1, 9), min_size=1, max_size=20),
    max_size=4,
)
"""Of some rounds (as a batch holds them) each client's samples; few different numbers, so that there are ties."""


def _tasks_of(rounds: dict[int, dict[int, int]], random: Random) -> np.ndarray:
    rows = [
        (r, client, r, 0, 0, n, n, 1.0, 0.5, 0, 0, 0)
        for r, of_round in rounds.items()
        for client, n in of_round.items()
    ]
    random.shuffle(rows)
    return np.array(rows, TASK)


@given(ROUNDS, st.integers(1, 9), st.randoms(use_true_random=False))
def test_groups_hold_every_task_once_and_one_round_each(
    rounds: dict[int, dict[int, int]], stack: int, random: Random
) -> None:
    tasks = _tasks_of(rounds, random)
    ordered = largest_first(tasks, stack)
    groups = [ordered[rows].tolist() for rows in task_groups(ordered, stack)]
    assert sorted(task for group in groups for task in group) == sorted(tasks.tolist())
    assert all(1 <= len(group) <= stack for group in groups)
    assert all(len({_field(task, "round") for task in group}) == 1 for group in groups)


@given(ROUNDS, st.integers(1, 9), st.randoms(use_true_random=False))
def test_groups_are_a_rounds_tasks_by_samples_and_the_last_ones_are_halves(
    rounds: dict[int, dict[int, int]], stack: int, random: Random
) -> None:
    ordered = largest_first(_tasks_of(rounds, random), stack)
    groups = [ordered[rows].tolist() for rows in task_groups(ordered, stack)]
    expected = []
    for number in sorted(rounds):  # the oracle: cut each round by itself
        own = sorted(rounds[number].items(), key=lambda item: (-item[1], item[0]))
        while own:
            size = stack if len(own) >= 2 * stack else (stack + 1) // 2
            expected.append([(number, client) for client, _ in own[:size]])
            own = own[size:]
    expected.sort(
        key=lambda group: -sum(rounds[number][client] for number, client in group)
    )  # stable: by round, then as cut
    assert [
        [(_field(t, "round"), _field(t, "client")) for t in group] for group in groups
    ] == expected
    totals = [sum(_field(task, "samples") for task in group) for group in groups]
    assert totals == sorted(totals, reverse=True)


@given(ROUNDS, st.integers(1, 9), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_the_tasks(
    rounds: dict[int, dict[int, int]], stack: int, random: Random
) -> None:
    first, second = (largest_first(_tasks_of(rounds, random), stack) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert largest_first(first, stack).tolist() == first.tolist()


def test_no_tasks_are_no_groups() -> None:
    assert largest_first(np.empty(0, TASK), 3).tolist() == []
    assert task_groups(np.empty(0, TASK), 3) == []


@pytest.mark.parametrize(
    ("workload", "steps", "samples"),
    [
        (WORKLOAD, lambda n: 2 * -(-n // 10), lambda n: 2 * n),
        (Workload(1000, 1000, 10, None, 1), lambda n: 1, lambda n: min(n, 10)),
        (Workload(1000, 1000, 100, None, 3), lambda n: 3, lambda n: 3 * n),
    ],
)
def test_a_task_has_the_steps_and_samples_that_its_client_was_timed_for(
    population: Population,
    workload: Workload,
    steps: Callable[[int], int],
    samples: Callable[[int], int],
) -> None:
    plan = make_plan(_job(), population, workload, 1, ClockState())
    assert len(plan.tasks) > 3
    asked = plan.timeline.participants["client"].tolist()
    for task in plan.tasks:
        held = _held(task["client"])
        place = asked.index(task["client"])
        assert task["steps"] == steps(held) == plan.timeline.participants["steps"][place]
        assert task["samples"] == samples(held) == plan.timeline.participants["samples"][place]


def test_fedavg_weights_follow_the_samples_held_and_add_up_to_one(population: Population) -> None:
    tasks = make_plan(_job("fedavg"), population, WORKLOAD, 1, ClockState()).tasks
    held = np.array([_held(client) for client in tasks["client"]])
    assert tasks["weight"] == pytest.approx(held / held.sum(), rel=1e-15)
    assert tasks["weight"].sum() == pytest.approx(1, rel=1e-15)


def test_fedavg_weights_follow_the_samples_held_and_not_those_gone_through(
    population: Population,
) -> None:
    tasks = make_plan(
        _job("fedavg"), population, Workload(1000, 1000, 10, None, 1), 1, ClockState()
    ).tasks
    held = np.array([_held(client) for client in tasks["client"]])
    assert tasks["weight"] == pytest.approx(held / held.sum(), rel=1e-15)
    assert not np.allclose(tasks["weight"], tasks["samples"] / tasks["samples"].sum())


def test_scaffold_weights_are_equal_and_add_up_to_one(population: Population) -> None:
    tasks = make_plan(_job("scaffold"), population, WORKLOAD, 1, ClockState()).tasks
    assert len(set(tasks["samples"])) > 1
    assert tasks["weight"] == pytest.approx(np.full(len(tasks), 1 / len(tasks)), rel=1e-15)


@pytest.mark.parametrize(
    ("round_number", "version"), [(1, 0), (2, 1), (5, 4), (5, 2)]
)  # the last: two rounds had no updates
def test_tasks_start_from_the_model_that_there_is(
    population: Population, round_number: int, version: int
) -> None:
    plan = make_plan(_job(), population, WORKLOAD, round_number, ClockState(version=version))
    assert plan.round_number == round_number
    assert set(plan.tasks["round"]) == {round_number}
    assert set(plan.tasks["base"]) == {version}


def test_a_round_leaves_the_state_that_the_next_one_begins_with(population: Population) -> None:
    first = make_plan(_job(), population, WORKLOAD, 1, ClockState())
    assert (first.after.now, first.after.version, first.after.draws) == (
        first.timeline.end_seconds,
        1,
        1,
    )
    assert len(first.after.flights) == 0
    second = make_plan(_job(), population, WORKLOAD, 2, first.after)
    assert second.timeline.start_seconds == first.timeline.end_seconds
    assert set(second.tasks["base"]) == {1}
    assert (second.after.version, second.after.draws) == (2, 2)
    assert (
        second.timeline.participants["client"].tolist()
        != first.timeline.participants["client"].tolist()
    )


def test_a_plan_depends_on_seed_and_state_alone(population: Population) -> None:
    job, state = _job(), ClockState(200.0, 1, 1)
    first, again = (make_plan(job, population, WORKLOAD, 2, state) for _ in range(2))
    assert first.tasks.tolist() == again.tasks.tolist()
    assert (
        first.timeline.participants["client"].tolist()
        == again.timeline.participants["client"].tolist()
    )
    others = [(job, state), (job, ClockState(200.0, 1, 2)), (_job(seed=4), state)]
    plans = [make_plan(other, population, WORKLOAD, 2, at) for other, at in others]
    assert len({tuple(plan.timeline.participants["client"]) for plan in plans}) == 3


def test_the_clients_asked_are_those_that_the_selection_rule_picks(population: Population) -> None:
    job = _job()
    timeline = make_plan(job, population, WORKLOAD, 4, ClockState(now=30.0, draws=3)).timeline
    asked = timeline.participants["client"].tolist()
    assert asked == ask(job.selection, population, 30.0, 18, job.seed, 4).tolist()  # 1.5 x 12
    assert timeline.start_seconds == 30.0


def test_a_round_begins_when_anyone_is_online(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> None:
    population = make_population(make_dataset(HELD), make_trace([[(40, 90)]]), clients=20)
    timeline = make_plan(_job(), population, WORKLOAD, 1, ClockState(now=100.0)).timeline
    assert (timeline.start_seconds, timeline.waited_seconds) == (140.0, 40.0)
    assert len(timeline.participants) == 18


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_a_round_that_nobody_completes_has_no_tasks(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
    algorithm: str,
) -> None:
    population = make_population(make_dataset(HELD), make_trace([[(0, 10)]]), clients=20)
    plan = make_plan(_job(algorithm), population, WORKLOAD, 1, ClockState(now=9.99, version=3))
    assert plan.tasks.dtype == TASK
    assert len(plan.tasks) == 0
    assert plan.timeline.count(Outcome.DROPPED) == 18
    assert plan.after.version == 3  # the model stays as it is


POISSON = {"name": "poisson", "participants": 1}
GAUSSIAN = {"name": "gaussian", "noise_multiplier": 1}


@pytest.mark.parametrize("private", [False, True])
def test_a_round_is_released_where_the_clock_counts_a_version(
    population: Population, private: bool
) -> None:
    """Rounds of a Poisson sample: with participants who complete, with some who all drop out, and drawn empty."""
    keys: dict[str, Any] = {"privacy": GAUSSIAN, "exchange": {"up": "clip"}} if private else {}
    job = _job(selection=POISSON, clock={"mode": "all"}, **keys)
    seen = set()
    for number in range(1, 41):
        before = ClockState(now=0.45, draws=number, version=7)
        plan = make_plan(job, population, WORKLOAD, number, before)
        released = is_released(job, plan)
        assert released is (plan.after.version > before.version)
        seen.add((len(plan.timeline.participants) > 0, len(plan.tasks) > 0, released))
    assert seen == {(True, True, True), (True, False, False), (False, False, private)}


def test_weights_of_compass_are_shares_of_all_who_are_under_way(population: Population) -> None:
    """FedCompass's p_i times the staleness factor: of a group alone, and of all clients in all rounds."""
    clients = 9
    small = replace(population, clients=clients, always_online=True)
    keys = {"mode": "compass", "concurrency": clients, "least_steps": 2, "most_steps": 12}
    job, state, sizes = _job(clock=keys), ClockState(), set()
    held = small.samples(np.arange(clients))
    for number in range(1, 16):
        plan = make_plan(job, small, WORKLOAD, number, state)
        state, tasks = plan.after, plan.tasks
        assert len(state.flights) == clients
        factor = 1 / np.sqrt(1 + tasks["staleness"])
        assert tasks["weight"] == pytest.approx(factor * held[tasks["client"]] / held.sum())
        assert set(tasks["steps"].tolist()) <= set(range(2, 13))
        sizes.add(len(tasks))
    assert max(sizes) > 1
