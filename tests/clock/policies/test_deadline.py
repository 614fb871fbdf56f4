from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.clock.cost import Cost
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.timeline import ClockState, Outcome
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.rounds.plan.plan import make_plan
from tests.budget import examples
from tests.clock import brute
from tests.clock.cases import Case, advance_cohort, raw_cases, rule_of
from tests.clock.events import COMPLETED, CUT, DROPPED, Cohort, Phone, wanted
from tests.makers import PopulationOf, RoundOf

rounds = examples(150, derandomize=True)


class DeadlineRound(Cohort):
    """Ends at the deadline; with ``partial`` each does the most steps that leave it time to upload by then."""

    def __init__(self, case: Case, policy: Deadline) -> None:
        asked = wanted(policy.overcommitment, case.participants)
        super().__init__(case.phones, case.listed, policy.availability, case.now, asked)
        self.policy = policy
        self.deadline: Fraction = self.env.now

    def begin(self, clients: list[int]) -> Fraction | None:
        if self.policy.seconds is not None:
            length = Fraction(self.policy.seconds)
        else:
            work = sorted(self.phones[client].work() for client in clients)
            length = work[math.ceil(Decimal(str(self.policy.quantile)) * len(work)) - 1]
        self.deadline = self.env.now + length
        for client in clients:
            phone = self.phones[client]
            there = length
            if self.policy.availability == "resume":
                there = brute.online_seconds(phone.slots, phone.period, self.env.now, self.deadline)
            fitting = [steps for steps in range(1, phone.steps + 1) if phone.work(steps) <= there]
            self.launch(client, 0, fitting[-1] if self.policy.partial and fitting else None)
        return self.deadline

    def able(self, phone: Phone) -> bool:
        steps = 1 if self.policy.partial else None
        in_time = self.policy.seconds is None or phone.work(steps) <= Fraction(self.policy.seconds)
        return in_time and phone.can_finish(self.policy.availability, steps)


def _check(case: Case, rule: str, kind: str) -> None:
    random = case.random
    length = float(random.choice(case.phones).work()) * random.uniform(0.3, 1.1)
    policy = Deadline(
        availability=rule,
        overcommitment=random.choice([1.0, 1.1, 1.3, 2.0]),
        partial=random.random() < 0.7,
        **{kind: max(1, round(8 * length)) / 8 if kind == "seconds" else random.randint(1, 9) / 10},
    )
    simulation = DeadlineRound(case, policy)
    advance_cohort(
        case, policy, simulation, lambda: [simulation.deadline] if kind == "quantile" else []
    )


@pytest.mark.parametrize("kind", ["seconds", "quantile"])
@rounds
@given(raw=raw_cases(tidy=True))
def test_a_round_is_that_of_an_event_simulation_to_the_last_bit(
    case_of: Callable[..., Case], kind: str, raw: tuple[Any, ...]
) -> None:
    rule = rule_of(raw)
    _check(case_of(raw, rule), rule, kind)


@pytest.mark.parametrize("kind", ["seconds", "quantile"])
@rounds
@given(raw=raw_cases(tidy=False))
def test_a_round_with_decimal_speeds_is_that_of_an_event_simulation(
    case_of: Callable[..., Case], kind: str, raw: tuple[Any, ...]
) -> None:
    rule = rule_of(raw)
    _check(case_of(raw, rule), rule, kind)


# By hand: 5 samples a step of 0.5 s, 20 samples, so 4 steps of 2 s in all: 1 + 2 + 1 = 4 s of work.
TWO_SECONDS = Workload(1000, 1000, 5, 1, None, inferences_per_sample=1.0)


@pytest.mark.parametrize(
    ("seconds", "steps", "outcome", "stop", "end"),
    [
        (4.0, 4, COMPLETED, 4.0, 4.0),
        (3.875, 3, COMPLETED, 3.5, 3.5),  # a round whose participants all stop earlier ends earlier
        (3.5, 3, COMPLETED, 3.5, 3.5),  # to the very moment
        (2.5, 1, COMPLETED, 2.5, 2.5),
        (2.375, 4, CUT, 2.375, 2.375),  # not a single step
        (0.5, 4, CUT, 0.5, 0.5),
        (60.0, 4, COMPLETED, 4.0, 4.0),
    ],
)
def test_partial_work_is_the_most_steps_that_leave_time_to_upload(
    population_of: PopulationOf,
    round_of: RoundOf,
    seconds: float,
    steps: int,
    outcome: Outcome,
    stop: float,
    end: float,
) -> None:
    fast = {"ms": 1, "down": 8000, "up": 8000}  # is not asked, and could do it
    population = population_of([{}, fast], held=20)
    timeline, after = round_of(Deadline(seconds=seconds), population, 1, 10.0, TWO_SECONDS)
    (row,) = timeline.participants
    assert (row["steps"], row["samples"], row["outcome"]) == (steps, 5 * steps, outcome)
    assert row["stop_seconds"] - 10 == stop
    assert timeline.end_seconds - 10 == end
    assert after.version == (outcome == COMPLETED)


def test_what_an_algorithm_does_besides_is_done_whole_however_few_the_steps(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # As above with two trainings of 0.5 s a step, 5 extra samples (0.5 s), and a pass of 2 s / 3 x 3 = 2 s: 1 + 2.5 + 4 + 1 s.
    cost = Cost(training=2, extra_steps=1, evaluations=3)
    work = replace(TWO_SECONDS, cost=cost)
    population = population_of([{}], held=20)
    found = [
        round_of(Deadline(seconds=s), population, 1, 10.0, work)[0].participants[0]
        for s in (8.5, 8.375, 7.5, 7.375, 5.5)
    ]
    assert [row["steps"] for row in found] == [4, 3, 3, 2, 1]
    assert [row["samples"] for row in found] == [20, 15, 15, 10, 5]
    assert [row["compute_seconds"] for row in found] == [6.5, 5.5, 5.5, 4.5, 3.5]
    with pytest.raises(InputError, match=r"^population"):  # not a single step, for anybody
        round_of(Deadline(seconds=5.375), population, 1, 10.0, work)


def test_a_smaller_last_step_costs_what_it_holds(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 12 samples: steps of 5, 5 and 2 samples, that is 0.5, 0.5 and 0.2 s; batches of the second epoch the same.
    population = population_of([{}], held=12)
    work = Workload(1000, 1000, 5, 2, None, inferences_per_sample=1.0)
    found = [
        round_of(Deadline(seconds=s), population, 1, 0.0, work)[0].participants[0]
        for s in (3.1, 3.25, 3.75, 4.375)
    ]
    assert [(row["steps"], row["samples"]) for row in found] == [(2, 10), (3, 12), (4, 17), (5, 22)]


def test_without_partial_whoever_has_not_finished_is_cut(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{}, {"ms": 200}, {"slots": [(0, 3)]}])  # 5 s, 8 s, 5 s
    timeline, _ = round_of(Deadline(seconds=7, partial=False), population, 3)
    assert timeline.participants["outcome"].tolist() == [COMPLETED, CUT, DROPPED]
    assert timeline.participants["stop_seconds"].tolist() == [5, 7, 3]
    assert timeline.participants["steps"].tolist() == [1, 1, 1]
    assert timeline.end_seconds == 7


def test_fast_rounds_take_turns_with_slow_ones(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    """As Algorithm 1 of FedFS: two fast rounds, then three slow ones, and so on."""
    policy = Deadline(seconds=4, fast_seconds=2.5, fast_rounds=2, slow_rounds=3)
    population = population_of([{}], held=20)
    state = ClockState()
    steps = []
    for _ in range(12):
        timeline, state = round_of(policy, population, 1, state, TWO_SECONDS)
        steps.append(int(timeline.participants["steps"][0]))
    assert steps == [1, 1, 4, 4, 4] * 2 + [1, 1]

    # A probe before each round, as of power_of_choice, is a draw of its own.
    probed = [
        round_of(policy, population, 1, ClockState(draws=2 * number - 1), TWO_SECONDS, None, number)
        for number in range(1, 13)
    ]
    assert [int(timeline.participants["steps"][0]) for timeline, _ in probed] == steps

    with pytest.raises(ValueError, match="fast_seconds needs seconds"):
        Deadline(quantile=0.5, fast_seconds=2.0)
    for keys in ({"fast_rounds": 2}, {"slow_rounds": 3}):
        with pytest.raises(ValueError, match="need fast_seconds"):
            Deadline(seconds=4.0, **keys)


def test_the_deadline_at_a_quantile_is_a_duration_of_the_cohort(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{"ms": ms} for ms in (100, 200, 300, 400)])  # 5, 8, 11, 14 s
    for quantile, end in [
        (0.25, 5),
        (1e-12, 5),
        (0.26, 8),
        (0.5, 8),
        (0.75, 11),
        (0.76, 14),
        (0.99, 14),
    ]:
        timeline, _ = round_of(Deadline(quantile=quantile, partial=False), population, 4)
        assert timeline.end_seconds == end
        assert timeline.count(COMPLETED) == (end - 2) / 3


@given(percent=st.integers(1, 99), asked=st.integers(1, 60))
@examples(400, derandomize=True)
def test_a_quantile_is_what_decimal_arithmetic_says(
    population_of: PopulationOf, round_of: RoundOf, percent: int, asked: int
) -> None:
    population = population_of([{"ms": ms} for ms in range(100, 100 + asked)])
    timeline, _ = round_of(Deadline(quantile=percent / 100, partial=False), population, asked)
    assert timeline.count(COMPLETED) == -(-percent * asked // 100)


@pytest.mark.parametrize(("percent", "asked"), [(28, 25), (56, 25), (14, 50)])
def test_a_quantile_that_float_arithmetic_would_get_wrong(
    population_of: PopulationOf, round_of: RoundOf, percent: int, asked: int
) -> None:
    population = population_of([{"ms": ms} for ms in range(100, 100 + asked)])
    timeline, _ = round_of(Deadline(quantile=percent / 100, partial=False), population, asked)
    assert timeline.count(COMPLETED) == percent * asked // 100


COSTS = [Cost(), Cost(evaluations=2), Cost(training=1.3), Cost(gradients=0.7, extra_steps=1)]


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_who_sets_the_deadline_by_quantile_does_all_its_steps(
    population_of: PopulationOf, round_of: RoundOf, cost: Cost
) -> None:
    random = np.random.default_rng(0)
    for now in (0.0, 12_345.678, 1e7 + 0.1):
        for _ in range(60):
            population = population_of(
                [{"ms": ms, "down": 3071.3, "up": 777.7} for ms in random.uniform(20, 300, 5)]
            )
            work = Workload(123_456, 123_456, 3, 2, None, cost=cost)
            timeline, _ = round_of(Deadline(quantile=0.6), population, 5, now % 100, work)
            rows = timeline.participants
            full = (rows["steps"] == 8) & (rows["outcome"] == COMPLETED)
            assert (
                np.count_nonzero(full) == 3
            )  # "share of the cohort that can do all its work in time"


def test_weights_of_partial_work_are_the_samples_gone_through(population_of: PopulationOf) -> None:
    # 20 samples in 4 steps; 1 + 2 + 1 s at 100 ms a sample of 1 inference ... three inferences: 1.5 s a step, 8 s in all.
    job = parse_job(
        {
            "name": "deadline",
            "rounds": 1,
            "data": {"name": "digits", "partition": {"name": "iid", "clients": 4}},
            "population": {"trace": "phones"},
            "model": {"name": "logreg"},
            "training": {"batch_size": 5},
            "selection": {"name": "uniform", "participants": 3},
            "clock": {"mode": "deadline", "seconds": 5.0},
        }
    )
    population = population_of([{}, {"ms": 50}, {"ms": 200}], held=20)  # 8, 5 and 14 s of work
    plan = make_plan(job, population, Workload(1000, 1000, 5, 1, None), 1, ClockState())
    found = {
        task["client"]: (task["steps"], task["samples"], task["weight"]) for task in plan.tasks
    }
    assert found == {0: (2, 10, 10 / 35), 1: (4, 20, 20 / 35), 2: (1, 5, 5 / 35)}


@pytest.mark.parametrize(
    "given_", [{}, {"seconds": 5, "quantile": 0.5}, {"seconds": 0}, {"quantile": 1}]
)
def test_seconds_or_quantile_is_needed_and_within_bounds(given_: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"seconds|quantile"):
        Deadline(**given_)


def test_a_deadline_that_nobody_can_ever_meet_is_an_error(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    with pytest.raises(InputError, match=r"^population"):
        round_of(Deadline(seconds=2.375), population_of([{}], held=20), 1, 10.0, TWO_SECONDS)
