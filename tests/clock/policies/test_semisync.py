from __future__ import annotations

from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import HealthCheck, given

from mpifl.clock.policies.semisync import Semisync
from mpifl.clock.timeline import Call, ClockState, Outcome
from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.population.population import Population
from mpifl.traces.trace import Trace
from tests.asking import uniform
from tests.budget import examples
from tests.clock.cases import Case, raw_cases, rule_of
from tests.clock.conftest import WORK
from tests.clock.events import COMPLETED, DROPPED, STALE
from tests.clock.flights import Traffic, advance_traffic
from tests.makers import PopulationOf, RoundOf

rounds = examples(
    60, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


class Windows(Traffic):
    """A round is a window; who is done by its end counts in it."""

    def events(self) -> Generator[simpy.Event]:
        yield from self.fill_or_wait()
        alarm = self.env.timeout(Fraction(self.policy.window_seconds))
        yield alarm
        yield self.after_all_else()
        for flight in self.stopped():
            self.land(flight)
        if self.ended and all(flight.outcome == DROPPED for flight in self.ended):
            self.check_possible()


def _check(case: Case, rule: str) -> None:
    policy = Semisync(
        availability=rule,
        concurrency=case.random.randint(1, 12),
        max_staleness=case.random.choice([0, 1, 20]),
        window_seconds=case.random.randint(8, 200) / 8,
    )
    advance_traffic(case, policy, Windows(case, policy, rounds=6))


@rounds
@given(raw=raw_cases(tidy=True))
def test_rounds_are_those_of_an_event_simulation_to_the_last_bit(
    case_of: Callable[..., Case], raw: tuple[Any, ...]
) -> None:
    rule = rule_of(raw)
    _check(case_of(raw, rule), rule)


@rounds
@given(raw=raw_cases(tidy=False))
def test_rounds_with_decimal_speeds_are_those_of_an_event_simulation(
    case_of: Callable[..., Case], raw: tuple[Any, ...]
) -> None:
    rule = rule_of(raw)
    _check(case_of(raw, rule), rule)


def test_windows_of_6_s_and_work_of_5_8_and_14_s(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{}, {"ms": 200}, {"ms": 400}, {"slots": [(0, 6.5)]}])
    policy, state, seen = Semisync(concurrency=3, window_seconds=6), ClockState(), []
    for _ in range(3):
        timeline, state = round_of(policy, population, 1, state)
        rows = [
            tuple(row[c] for c in ("client", "outcome", "base", "staleness", "stop_seconds"))
            for row in timeline.participants
        ]
        seen.append((timeline.end_seconds, state.version, rows))
    # At 6 s the place of 0 is taken by 0 again (the lowest that is free); 1 and 2 are under way from version 0.
    # At 12 s those of 0 and 1 are taken again, from version 2; 2 is done at 14 s, 2 versions late.
    assert seen == [
        (6, 1, [(0, COMPLETED, 0, 0, 5)]),
        (12, 2, [(1, COMPLETED, 0, 1, 8), (0, COMPLETED, 1, 0, 11)]),
        (18, 3, [(2, COMPLETED, 0, 2, 14), (0, COMPLETED, 2, 0, 17)]),
    ]


def test_who_finishes_at_the_end_of_a_window_counts_in_it(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    timeline, after = round_of(Semisync(concurrency=1, window_seconds=5), population_of([{}]), 1)
    assert (timeline.count(COMPLETED), len(after.flights)) == (1, 0)
    timeline, after = round_of(
        Semisync(concurrency=1, window_seconds=4.875), population_of([{}]), 1
    )
    assert (len(timeline.participants), len(after.flights)) == (0, 1)


def test_a_window_in_which_nobody_finishes_leaves_the_model_as_it_is(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{"ms": 400}, {"slots": [(0, 3)]}])
    timeline, after = round_of(Semisync(concurrency=2, window_seconds=4), population, 1)
    assert [
        (row["client"], row["outcome"], row["stop_seconds"]) for row in timeline.participants
    ] == [(1, DROPPED, 3)]
    assert (timeline.end_seconds, after.version) == (4, 0)


def test_a_late_update_is_stale(population_of: PopulationOf, round_of: RoundOf) -> None:
    policy, state = Semisync(concurrency=2, window_seconds=6, max_staleness=1), ClockState()
    for _ in range(3):
        timeline, state = round_of(policy, population_of([{}, {"ms": 400}]), 1, state)
    assert [(row["client"], row["outcome"], row["staleness"]) for row in timeline.participants] == [
        (1, STALE, 2),
        (0, COMPLETED, 0),
    ]
    assert timeline.participants["bytes_up"].tolist() == [1000, 1000]  # it was sent all the same


def test_a_window_begins_when_someone_is_online(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    timeline, after = round_of(
        Semisync(concurrency=2, window_seconds=6), population_of([{"slots": [(40, 60)]}]), 1, 3.0
    )
    assert (timeline.waited_seconds, timeline.end_seconds, after.now) == (37, 46, 46)
    assert timeline.participants["start_seconds"].tolist() == [40]


def test_a_population_that_is_never_online_is_an_error(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    with pytest.raises(InputError, match=r"^population"):
        round_of(Semisync(concurrency=2, window_seconds=6), population_of([{"slots": []}]), 1)


def test_a_window_that_all_drop_out_of_is_an_error_where_nobody_can_ever_finish(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 5 s are needed. In the first window all drop out, and later others can finish.
    policy = Semisync(concurrency=2, window_seconds=4)
    short = {"slots": [(0, 3)]}
    timeline, _ = round_of(policy, population_of([short, {"slots": [(0, 3), (40, 60)]}]), 1)
    assert timeline.participants["outcome"].tolist() == [DROPPED, DROPPED]
    with pytest.raises(InputError, match="can ever finish a round"):
        round_of(policy, population_of([short, short]), 1)


@pytest.mark.parametrize("target", [None, 3])
@pytest.mark.parametrize("shared", [{}, {"server_up_kbps": 100.0}])
def test_a_target_needs_a_bandwidth_that_is_not_shared(
    target: int | None, shared: dict[str, float]
) -> None:
    policy = Semisync(concurrency=2, window_seconds=4, target=target, latency=shared)
    if target and shared:
        with pytest.raises(InputError, match=r"clock\.target: 3 is not allowed with a bandwidth"):
            policy.check()
    else:
        policy.check()


@pytest.mark.parametrize("target", [1, 8, 20])
def test_a_window_asks_for_what_those_who_come_late_leave_of_its_target(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
    target: int,
) -> None:
    """With REFL's max(1, N - B), B counted in the windows as they turned out."""
    random = np.random.default_rng(5)
    speeds = random.uniform(20, 900, 40).tolist()
    trace = make_trace([[(0, 100)]] * 40, 100.0, compute_ms_per_sample=speeds)
    people = make_population(make_dataset([9, 30]), trace, clients=200)
    policy = Semisync(concurrency=30, window_seconds=4.0, target=target, availability="resume")

    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return uniform(people, now, wanted, 7, draw, busy)

    state, states, ended = ClockState(), [], []
    for _ in range(20):
        timeline, state = policy.advance(state, Call(1, choose, people, WORK))
        states.append(state)
        ended.append(timeline.participants)
    before = ClockState().flights
    late = 0
    for state, rows in zip(states, ended, strict=True):
        from_before = np.isin(rows["client"], before["client"])
        came = int(np.count_nonzero(from_before & (rows["outcome"] == Outcome.COMPLETED)))
        asked = np.count_nonzero(~from_before) + len(state.flights)
        asked -= int(np.isin(state.flights["client"], before["client"]).sum())
        assert asked == min(max(1, target - came), 30 - len(before))
        late += came
        before = state.flights
    assert late > 5
