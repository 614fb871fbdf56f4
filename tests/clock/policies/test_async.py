from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given

from mpifl.clock.policies.async_ import Async
from mpifl.clock.staleness import Staleness
from mpifl.clock.timeline import ClockState
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.rounds.plan.plan import make_plan
from tests.budget import examples
from tests.clock.cases import Case, raw_cases, rule_of
from tests.clock.events import COMPLETED, DROPPED
from tests.clock.flights import Landings, advance_traffic, flying
from tests.makers import PopulationOf, RoundOf

rounds = examples(
    60, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


def _check(case: Case, rule: str) -> None:
    hinge = Staleness(name="hinge", slope=2.0, from_versions=1)
    policy = Async(availability=rule, mixing=0.5, staleness=hinge, **flying(case))
    for timeline in advance_traffic(case, policy, Landings(case, policy, rounds=12)):
        (done,) = timeline.participants[timeline.participants["outcome"] == COMPLETED]
        assert done["factor"] == pytest.approx(
            0.5 if done["staleness"] < 2 else 0.5 / (2 * done["staleness"] - 1), rel=1e-15
        )


def _one(raw: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*raw[:7], 1, *raw[8:])  # updates a round


@rounds
@given(raw=raw_cases(tidy=True, busy=True).map(_one))
def test_rounds_are_those_of_an_event_simulation_to_the_last_bit(
    case_of: Callable[..., Case], raw: tuple[Any, ...]
) -> None:
    rule = rule_of(raw)
    _check(case_of(raw, rule), rule)


@rounds
@given(raw=raw_cases(tidy=False, busy=True).map(_one))
def test_rounds_with_decimal_speeds_are_those_of_an_event_simulation(
    case_of: Callable[..., Case], raw: tuple[Any, ...]
) -> None:
    rule = rule_of(raw)
    _check(case_of(raw, rule), rule)


def test_every_update_is_a_round_and_a_version(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{}, {"ms": 200}])  # 5 and 8 s
    policy, state, seen = Async(concurrency=2, mixing=0.5), ClockState(), []
    for _ in range(5):
        timeline, state = round_of(policy, population, 1, state)
        (row,) = timeline.participants
        seen.append(
            (row["client"], timeline.end_seconds, row["base"], row["staleness"], row["factor"])
        )
    late = pytest.approx(0.5 / 2**0.5, rel=1e-15)
    # 15 and 16 s: 0 is done a third time from version 3, when 1, begun at 8 s from version 2, is 2 late.
    assert seen == [
        (0, 5, 0, 0, 0.5),
        (1, 8, 0, 1, late),
        (0, 10, 1, 1, late),
        (0, 15, 3, 0, 0.5),
        (1, 16, 2, 2, pytest.approx(0.5 / 3**0.5, rel=1e-15)),
    ]
    assert state.version == 5


def test_a_dropout_is_no_round(population_of: PopulationOf, round_of: RoundOf) -> None:
    timeline, _ = round_of(Async(concurrency=2), population_of([{}, {"slots": [(0, 2)]}]), 1)
    assert [(row["client"], row["outcome"]) for row in timeline.participants] == [
        (1, DROPPED),
        (0, COMPLETED),
    ]


def test_the_weight_of_a_task_is_mixing_times_staleness(population_of: PopulationOf) -> None:
    job = parse_job(
        {
            "name": "async",
            "rounds": 3,
            "data": {"name": "digits", "partition": {"name": "iid", "clients": 4}},
            "population": {"trace": "phones"},
            "model": {"name": "logreg"},
            "training": {"batch_size": 10},
            "selection": {"name": "uniform", "participants": 1},
            "clock": {
                "mode": "async",
                "concurrency": 2,
                "mixing": 0.25,
                "staleness": {"name": "polynomial", "exponent": 1.0},
            },
        }
    )
    population, state, weights = population_of([{}, {"ms": 200}]), ClockState(), []
    for number in (1, 2, 3):
        plan = make_plan(job, population, Workload(1000, 1000, 10, 1, None), number, state)
        state = plan.after
        weights.append([(task["client"], task["base"], task["weight"]) for task in plan.tasks])
    assert weights == [[(0, 0, 0.25)], [(1, 0, 0.125)], [(0, 1, 0.125)]]


def test_more_than_one_update_a_round_is_refused() -> None:
    with pytest.raises(InputError, match="takes 1 at a time"):
        Async(concurrency=2).updates(2)
    assert Async(concurrency=2).updates(1) == Async(concurrency=2).updates(None) == 1


@pytest.mark.parametrize(
    "staleness", [{"exponent": 5000}, {"name": "hinge", "slope": 1e308}], ids=str
)
def test_a_staleness_that_makes_late_updates_nothing_is_refused(staleness: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="max_staleness 20 versions late"):
        Async(concurrency=2, staleness=staleness)
    assert Async(concurrency=2, staleness=staleness, max_staleness=0).max_staleness == 0
