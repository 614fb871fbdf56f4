from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import mpifl.clock.event_loop
from mpifl.clock.latency import Latency
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.timeline import Choose, ClockState, Timeline
from mpifl.errors import InputError, TrainingError
from mpifl.population.population import Population
from mpifl.traces.bandwidth import Bandwidth
from tests.asking import uniform
from tests.clock.cases import Case, numbered_cases, rule_of
from tests.clock.events import COMPLETED, DROPPED, STALE
from tests.clock.flights import Landings, advance_traffic, flying
from tests.known import known
from tests.makers import PopulationOf, RoundOf


def _check(case: Case, rule: str, tally: Counter[str]) -> None:
    policy = Buffered(availability=rule, **flying(case))
    simulation = Landings(case, policy, rounds=4)
    timelines = advance_traffic(case, policy, simulation)
    tally["refills"] += simulation.refills
    tally["runs with refills"] += simulation.refills > 0
    for timeline in timelines:
        done = timeline.participants[timeline.participants["outcome"] == COMPLETED]
        assert len(done) == case.participants
        assert len(set(done["client"])) == len(done)  # counts once in a round
        assert done["factor"] == pytest.approx(
            [1 / np.sqrt(1 + t) for t in done["staleness"]], rel=1e-15
        )


@pytest.mark.parametrize("tidy", [True, False], ids=["to the last bit", "with decimal speeds"])
def test_rounds_are_those_of_an_event_simulation(case_of: Callable[..., Case], tidy: bool) -> None:
    tally: Counter[str] = Counter()

    def compare(raw: tuple[Any, ...]) -> None:
        rule = rule_of(raw)
        _check(case_of(raw, rule), rule, tally)

    numbered_cases(compare, 60, tidy=tidy, busy=True)
    assert tally["runs with refills"] > 10


def _rows(timeline: Timeline, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in timeline.participants]


def test_three_rounds_of_two_updates_with_three_under_way(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 5, 8, 29 and 5 s of work; the lowest client that is free is asked.
    population = population_of([{}, {"ms": 200}, {"ms": 900}, {}])
    policy = Buffered(concurrency=3)
    shown = ("client", "outcome", "base", "staleness", "start_seconds", "stop_seconds")
    # 0 s: 0, 1, 2. 5 s: 0 is done and has counted, so 3 takes its place. 8 s: 1 is the second.
    timeline, after = round_of(policy, population, 2)
    assert _rows(timeline, *shown) == [(0, COMPLETED, 0, 0, 0, 5), (1, COMPLETED, 0, 0, 0, 8)]
    assert (timeline.end_seconds, after.version, after.flights["client"].tolist()) == (8, 1, [3, 2])
    # 8 s: 0 from version 1. 10 s: 3 from version 0, so 1 late; 1 takes its place, to 18 s. 13 s: 0.
    timeline, after = round_of(policy, population, 2, after)
    assert _rows(timeline, *shown) == [(3, COMPLETED, 0, 1, 5, 10), (0, COMPLETED, 1, 0, 8, 13)]
    assert timeline.participants["factor"].tolist() == [2**-0.5, 1.0]
    assert (timeline.start_seconds, timeline.end_seconds, after.version) == (8, 13, 2)
    # 13 s: 0 again, from version 2, to 18 s. There 0 comes before 1; the place of 0 is taken by 3.
    timeline, after = round_of(policy, population, 2, after)
    assert _rows(timeline, *shown) == [(0, COMPLETED, 2, 0, 13, 18), (1, COMPLETED, 1, 1, 10, 18)]
    assert sorted(after.flights["client"]) == [2, 3]
    assert after.flights["base"].tolist() == [2, 0]


def test_an_update_from_too_old_a_model_is_stale_and_does_not_count(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{}, {}, {}, {"ms": 300}])  # 5, 5, 5 and 11 s
    policy, state, ends = Buffered(concurrency=4, max_staleness=1), ClockState(), []
    for _ in range(4):
        timeline, state = round_of(policy, population, 3, state)
        ends.append(
            [(row["client"], row["outcome"], row["staleness"]) for row in timeline.participants]
        )
    # Rounds of 0, 1, 2 at 5 and 10 s; at 11 s the fourth is 2 versions late, is begun anew, and is done at 22 s.
    full = [(client, COMPLETED, 0) for client in range(3)]
    assert ends == [full, full, [(3, STALE, 2), *full], full]
    assert timeline.end_seconds == 20


def test_the_place_of_a_dropout_is_filled_at_once_and_an_empty_one_when_somebody_comes_online(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 1 goes offline at 2 s, when 2 has come online; of the places that are free then 3 takes one as it comes online, at 3 s.
    phones = [{}, {"slots": [(0, 2)]}, {"slots": [(2, 60)]}, {"slots": [(3, 60)]}]
    timeline, after = round_of(Buffered(concurrency=3), population_of(phones), 2)
    shown = ("client", "outcome", "start_seconds", "stop_seconds")
    assert _rows(timeline, *shown) == [
        (1, DROPPED, 0, 2),
        (0, COMPLETED, 0, 5),
        (2, COMPLETED, 2, 7),
    ]
    assert [(row["client"], row["start_seconds"]) for row in after.flights] == [(3, 3)]
    assert after.draws == 4  # at 0, 2, 3 and 5 s; from 3 s on nobody else can come online


LONG = {"ms": 10_000}  # 302 s of work


@pytest.mark.parametrize("server", [{}, {"server_down_kbps": 1e6, "server_up_kbps": 1e6}])
@pytest.mark.parametrize("rule", ["strict", "resume", "fedscale"])
def test_a_place_for_which_nobody_was_online_is_filled_as_soon_as_somebody_is(
    population_of: PopulationOf, round_of: RoundOf, rule: str, server: dict[str, float]
) -> None:
    if rule == "fedscale" and server:
        return
    population = population_of([LONG, {"slots": [(100, 1000)]}], period=1000.0)
    policy = Buffered(concurrency=2, availability=rule, latency=Latency(**server))
    timeline, _ = round_of(policy, population, 2)
    assert _rows(timeline, "client", "start_seconds", "stop_seconds") == [
        (1, 100, 105),
        (0, 0, 302),
    ]
    assert (timeline.waited_seconds, timeline.end_seconds) == (0, 302)


def test_a_server_link_has_room_for_clients_and_not_for_places(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    """Room for each of 2 thousand million places would take 200 GiB."""
    population = population_of([{}, {"ms": 200}])
    wide, narrow = (
        Buffered(concurrency=n, latency=Latency(server_up_kbps=900.0)) for n in (2**31 - 1, 2)
    )
    found, wanted = (round_of(policy, population, participants=2)[0] for policy in (wide, narrow))
    assert found.participants.tobytes() == wanted.participants.tobytes()


def test_who_comes_online_while_all_places_are_taken_is_not_asked(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([LONG, {"slots": [(100, 110)]}, LONG], period=1000.0)
    timeline, _ = round_of(Buffered(concurrency=2), population, 2)
    assert _rows(timeline, "client", "start_seconds") == [(0, 0), (2, 0)]


def test_an_empty_place_waits_past_those_who_are_under_way_or_have_counted(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 1 pauses from 2 s to 50 s, which is no reason to ask it again; 2 counts at 5 s and is online again from 60 s on.
    phones = [
        LONG,
        {"slots": [(0, 2), (50, 1000)]},
        {"slots": [(0, 6), (60, 1000)]},
        {"slots": [(70, 1000)]},
    ]
    policy = Buffered(concurrency=4, availability="resume")
    timeline, after = round_of(policy, population_of(phones, period=1000.0), 4)
    shown = [(2, 0, 5), (1, 0, 53), (3, 70, 75), (0, 0, 302)]
    assert _rows(timeline, "client", "start_seconds", "stop_seconds") == shown
    assert after.draws == 5  # at 0, 5, 53, 70 and 75 s; at 50 and at 60 s nobody was free


LINKS: list[dict[str, Any]] = [
    {},
    {"server_up_kbps": 1e6},
    {"cells": {"number": 2, "up_kbps": 1e6}},
]


@pytest.mark.parametrize("link", LINKS)
def test_a_rule_that_refuses_whoever_comes_online_does_not_keep_the_clock_waiting_for_ever(
    population_of: PopulationOf, round_of: RoundOf, link: dict[str, Any]
) -> None:
    # 0 is online in outages only, and pauses for ever; 1 comes online again and again, and the rule does not want it.
    def nobody_else(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return np.array([0] if 0 not in busy else [], np.int64)

    population = population_of([{"slots": [(0, 10)]}, {"slots": [(20, 30)]}])
    curve = Bandwidth(
        np.array([0, 2]),
        np.array([0.0, 10.0]),
        np.array([0.0, 8.0]),
        np.array([0.0, 8.0]),
        np.array([100.0]),
    )
    population = replace(population, trace=replace(known(population.trace), bandwidth=curve))
    policy = Buffered(concurrency=2, availability="resume", latency=Latency(**link))
    with pytest.raises(InputError, match="can ever finish"):
        round_of(policy, population, 1, choose=nobody_else)


@pytest.mark.parametrize("link", LINKS)
def test_who_is_under_way_is_waited_for_although_the_rule_refuses_whoever_comes_online(
    population_of: PopulationOf, round_of: RoundOf, link: dict[str, Any]
) -> None:
    def nobody_else(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return np.array([0] if 0 not in busy else [], np.int64)

    # 0 works for 5 s; 1 comes online at 2 s, and the rule does not want it.
    population = population_of([{}, {"slots": [(2, 90)]}])
    policy = Buffered(concurrency=2, latency=Latency(**link))
    timeline, _ = round_of(policy, population, 1, choose=nobody_else)
    assert _rows(timeline, "client", "outcome", "stop_seconds") == [(0, COMPLETED, 5)]


@pytest.mark.parametrize("link", LINKS)
def test_the_clock_does_not_wait_for_ever_for_who_is_left_of_those_under_way(
    population_of: PopulationOf, round_of: RoundOf, link: dict[str, Any]
) -> None:
    """Whether it was asked in this round or in the one before; a place that is free changes nothing."""
    # 0 comes online at 10 s, and is online in outages only; 1 takes 5 s, and counts once in a round.
    population = population_of([{"slots": [(10, 15)]}, {}])
    flat, outages = [(0.0, 8.0)], [(0.0, 8.0), (10.0, 0.0), (15.0, 8.0)]
    curves = [outages, flat] if population.patterns(np.arange(2))[0] == 0 else [flat, outages]
    start, kbps = np.array([point for curve in curves for point in curve]).T
    offsets = np.cumsum([0, *map(len, curves)])
    curve = Bandwidth(offsets, start, kbps, kbps, np.array([100.0, 100.0]))
    population = replace(population, trace=replace(known(population.trace), bandwidth=curve))
    policy = Buffered(concurrency=2, availability="resume", latency=Latency(**link))
    never = r"none of 1 participant under way can ever finish"
    with pytest.raises(InputError, match=never):
        round_of(policy, population, 2, 10.0)
    timeline, after = round_of(policy, population, 1, 10.0)
    assert _rows(timeline, "client", "outcome", "stop_seconds") == [(1, COMPLETED, 15)]
    assert after.flights["client"].tolist() == [0]
    with pytest.raises(InputError, match=never):
        round_of(policy, population, 2, after)


@pytest.mark.parametrize(
    ("link", "done"),
    [({}, 5), ({"server_up_kbps": 8.0}, 6), ({"cells": {"number": 1, "up_kbps": 8.0}}, 6)],
)
def test_who_stops_at_the_moment_at_which_a_round_ends_counts_in_the_next(
    population_of: PopulationOf, round_of: RoundOf, link: dict[str, Any], done: float
) -> None:
    # Each is 1 s down and 3 s at work; two uploads of 1 s take 2 s where they share 8 kbit/s.
    population = population_of([{}, {}])
    policy = Buffered(concurrency=2, latency=Latency(**link))
    timeline, state = round_of(policy, population, 1)
    assert _rows(timeline, "client", "stop_seconds") == [(0, done)]
    timeline, state = round_of(policy, population, 1, state)
    assert _rows(timeline, "client", "stop_seconds", "bytes_up") == [(1, done, 1000)]
    assert (timeline.start_seconds, timeline.end_seconds) == (done, done)
    # Both begin again at that moment.
    timeline, state = round_of(policy, population, 2, state)
    assert _rows(timeline, "client", "stop_seconds") == [(0, 2 * done), (1, 2 * done)]


def test_the_clock_waits_when_nobody_is_under_way_and_nobody_online(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{"slots": [(0, 3), (40, 60)]}])
    timeline, _ = round_of(Buffered(concurrency=2), population, 1)
    assert _rows(timeline, "outcome", "start_seconds", "stop_seconds") == [
        (DROPPED, 0, 3),
        (COMPLETED, 40, 45),
    ]
    assert (timeline.waited_seconds, timeline.end_seconds) == (37, 45)


def test_rounds_that_nobody_can_ever_finish_are_an_error(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{"slots": [(0, 4)]}, {"slots": [(10, 14.875)]}])
    with pytest.raises(InputError, match="long enough"):
        round_of(Buffered(concurrency=2), population, 1)


def test_the_clock_waits_for_who_has_not_counted_yet(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 0 is online all the time, and counts at 5 s; nobody else is until 50 s.
    timeline, _ = round_of(Buffered(concurrency=2), population_of([{}, {"slots": [(50, 60)]}]), 2)
    assert _rows(timeline, "client", "start_seconds", "stop_seconds") == [(0, 0, 5), (1, 50, 55)]
    assert timeline.waited_seconds == 45


class EndlessError(Exception):
    """The policy asks on and on."""


def _patient(population: Population, draws: int) -> Choose:
    """The lowest clients that are online, for so many draws."""

    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        if draw > draws:
            raise EndlessError
        return np.sort(uniform(population, now, population.clients, 1, draw, busy))[:wanted]

    return choose


def test_a_round_of_more_updates_than_there_are_clients_that_can_finish_is_an_error(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 0 counts at 5 s; 1 and 2 are online for 4 s each, by turns, and drop out again and again.
    population = population_of([{}, {"slots": [(0, 4)]}, {"slots": [(4, 8)]}], period=8.0)
    with pytest.raises(InputError, match="long enough"):
        round_of(Buffered(concurrency=2), population, 2, choose=_patient(population, 1100))


def test_fedscales_dropouts_do_not_stop_the_clock(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # Done at 5 s; asked again then it would be offline when it is done. Its next stay begins at 100 s.
    policy, population = (
        Buffered(concurrency=1, availability="fedscale"),
        population_of([{"slots": [(0, 10)]}]),
    )
    _, after = round_of(policy, population, 1)
    assert after.now == 5
    timeline, _ = round_of(policy, population, 1, after, choose=_patient(population, 1100))
    assert timeline.end_seconds == 105


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpifl.clock.event_loop, "MOST_DROPS", 40)
    monkeypatch.setattr(mpifl.clock.event_loop, "DROPS_BEFORE_CHECK", 10)


@pytest.mark.parametrize("link", LINKS)
def test_drop_outs_without_end_are_an_error(
    population_of: PopulationOf,
    round_of: RoundOf,
    monkeypatch: pytest.MonkeyPatch,
    link: dict[str, Any],
) -> None:
    # Begun between 2.5 and 3 s it would be done as it is online again; but it is asked as it comes online.
    _impatient(monkeypatch)
    population = population_of([{"slots": [(0, 3), (7.5, 8)]}])
    with pytest.raises(InputError, match="40 participants in a row"):
        round_of(Buffered(concurrency=1, availability="fedscale"), population, 1)


def test_many_may_drop_out_while_one_is_under_way_that_will_finish(
    population_of: PopulationOf, round_of: RoundOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    _impatient(monkeypatch)
    population = population_of([LONG, *({"slots": [(10 + k, 11 + k)]} for k in range(20))])
    timeline, _ = round_of(Buffered(concurrency=2, availability="fedscale"), population, 1)
    assert (timeline.count(DROPPED), timeline.count(COMPLETED), timeline.end_seconds) == (
        60,
        1,
        302,
    )


def test_a_selection_rule_that_chooses_nobody_is_named(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    with pytest.raises(TrainingError, match="chose nobody"):
        round_of(
            Buffered(concurrency=1), population_of([{}]), 1, choose=lambda *_: np.empty(0, np.int64)
        )
