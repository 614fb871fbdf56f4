"""Groups that arrive together (FedCompass): by hand, and against an event simulation that shares no code with the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import simpy

from mpifl.clock.latency import Latency
from mpifl.clock.policies.compass import Compass
from mpifl.clock.timeline import ClockState, Timeline
from mpifl.errors import InputError
from tests.clock.cases import Case, numbered_cases, rule_of
from tests.clock.events import COMPLETED, DROPPED, STALE, Flight
from tests.clock.flights import Landings, advance_traffic, flying
from tests.makers import PopulationOf, RoundOf


class Meeting:
    """A group: who belongs to it, when it is due and until when it waits."""

    def __init__(self, due: Fraction, latest: Fraction) -> None:
        self.due, self.latest = due, latest
        self.members: set[Flight] = set()
        self.came: set[Flight] = set()


class Meetings(Landings):
    """A round is all that counts at one moment; who has counted goes on in a group."""

    def __init__(self, case: Case, policy: Compass, rounds: int) -> None:
        super().__init__(case, policy, rounds)
        self.meetings: list[Meeting] = []
        self.alone: list[Flight] = []
        self.tally: Counter[str] = Counter()
        self.factor = Fraction(policy.latest_factor)
        self.steps = range(policy.least_steps, policy.most_steps + 1)

    def meeting_of(self, flight: Flight) -> Meeting | None:
        return next((each for each in self.meetings if flight in each.members), None)

    def events(self) -> Generator[simpy.Event]:
        while not self.count():
            yield from self.fill_or_wait()
            bell = self.opening()
            ends = [each.latest for each in self.meetings if each.came]
            alarm = self.env.timeout(min(ends) - self.env.now) if ends else self.env.event()
            while not (self.arrived() or bell.processed or alarm.processed):
                yield self.news | bell | alarm
                yield self.after_all_else()
            for flight in self.arrived():
                self.arrive(flight)
        self.go_on()

    def arrived(self) -> list[Flight]:
        """Who has stopped and was not told so yet."""
        told = set(self.alone).union(*(each.came for each in self.meetings))
        return [flight for flight in self.stopped() if flight not in told]

    def arrive(self, flight: Flight) -> None:
        meeting = self.meeting_of(flight)
        if flight.outcome == DROPPED:
            if meeting:
                meeting.members.remove(flight)
                self.tally["dropped out of a group"] += 1
            self.land(flight)
        elif meeting and self.env.now <= meeting.latest:
            meeting.came.add(flight)
        else:
            self.tally["late"] += meeting is not None
            self.alone.append(flight)

    def count(self) -> bool:
        ready, self.alone = self.alone, []
        for meeting in self.meetings:
            whole = meeting.came and meeting.came == meeting.members
            if whole or meeting.latest <= self.env.now:
                self.tally["cut short"] += bool(meeting.came) and not whole
                self.tally[f"groups of {min(len(meeting.came), 3)}"] += 1
                ready += meeting.came
                meeting.members -= meeting.came
                meeting.came = set()
        for flight in sorted(ready, key=lambda one: (one.stop, one.client)):
            self.land(flight)
        return any(flight.outcome == COMPLETED for flight in ready)

    def go_on(self) -> None:
        now = self.env.now
        open_ones = [m for m in self.meetings if m.members and m.latest > now]
        counted = [flight.client for flight in self.ended if flight.outcome == COMPLETED]
        online = [client for client in counted if self.phones[client].online(now)]
        self.draws += bool(online)
        begun = []
        for client in sorted(online, key=lambda c: (self.seconds(c, self.steps[-1]), c)):
            steps, meeting = self.assigned(client, open_ones)
            flight = self.launch(client, self.version + 1, steps)
            meeting.members.add(flight)
            begun.append(flight)
        self.in_flight += begun

    def seconds(self, client: int, steps: int) -> Fraction:
        return self.phones[client].work(steps)

    def most_by(self, client: int, moment: Fraction) -> int:
        """The most steps, up to one more than allowed, with which it would arrive by then; else 0."""
        more = [*self.steps, self.steps[-1] + 1]
        by = [q for q in more if self.env.now + self.seconds(client, q) <= moment]
        return max(by, default=0)

    def assigned(self, client: int, open_ones: list[Meeting]) -> tuple[int, Meeting]:
        fitting = [(self.most_by(client, each.due), each) for each in open_ones]
        fitting = [(steps, each) for steps, each in fitting if steps in self.steps]
        if fitting:
            self.tally["joined"] += 1
            best = max(steps for steps, _ in fitting)
            return best, min((m for steps, m in fitting if steps == best), key=lambda m: m.due)

        choices = []
        for each in open_ones:
            most = self.steps[-1]
            next_time = each.latest + min(self.seconds(f.client, most) for f in each.members)
            steps = self.most_by(client, next_time)
            if steps <= most:
                choices.append(max(steps, self.steps[0]))
        steps = max(choices, default=self.steps[-1])
        self.tally["to meet another time"] += bool(choices)
        lasts = self.seconds(client, steps)
        meeting = Meeting(self.env.now + lasts, self.env.now + self.factor * lasts)
        self.meetings.append(meeting)
        open_ones.append(meeting)
        return steps, meeting


def test_rounds_are_those_of_an_event_simulation_to_the_last_bit(
    case_of: Callable[..., Case],
) -> None:
    tally: Counter[str] = Counter()

    def check(raw: tuple[Any, ...]) -> None:
        rule = rule_of(raw)
        case = case_of(raw, rule)
        least = case.random.randint(1, 3)
        work = replace(case.workload, epochs=None, local_steps=least)
        case = replace(case, workload=work, participants=1)
        policy = Compass(
            availability=rule,
            least_steps=least,
            most_steps=least + case.random.choice([0, 2, 5, 20]),
            latest_factor=case.random.choice([1, 1.25, 2]),
            **flying(case, most=12),
        )
        simulation = Meetings(case, policy, rounds=12)
        advance_traffic(case, policy, simulation)
        tally.update(simulation.tally)
        tally["stale"] += sum(f.outcome == STALE for r in simulation.rounds for f in r.ended)

    numbered_cases(check, 60, tidy=True, busy=True)
    seen = ("joined", "to meet another time", "late", "cut short", "dropped out of a group")
    assert all(tally[what] > 2 for what in (*seen, "groups of 2", "groups of 3", "stale")), tally


def _ended(timeline: Timeline) -> list[tuple[Any, ...]]:
    names = ("client", "base", "staleness", "steps", "start_seconds", "stop_seconds")
    return [tuple(row[name].item() for name in names) for row in timeline.participants]


def _under_way(state: ClockState) -> list[tuple[Any, ...]]:
    """Client, steps, arrival, and of its group the number, when it is due, its latest moment."""
    groups = {row["client"]: row.tolist()[1:] for row in state.groups}
    flights = state.flights[["client", "steps", "stop_seconds"]]
    return [(*row.tolist(), *groups.get(row["client"], ())) for row in flights]


def test_three_clients_of_docs_clock_md(population_of: PopulationOf, round_of: RoundOf) -> None:
    # A download and an upload of 1 s, and steps of 3, 6 and 15 s.
    population = population_of([{}, {"ms": 200}, {"ms": 500}], period=1000.0)
    policy = Compass(concurrency=3, least_steps=1, most_steps=4, latest_factor=1.5)
    states = [ClockState()]
    rounds = []
    for number in range(1, 6):
        timeline, state = round_of(policy, population, 1, states[-1], round_number=number)
        rounds.append(timeline)
        states.append(state)
    # Nobody is known: one step each. 0 counts at 5 s. It begins a group with the most steps: due at 19 s, latest 26 s.
    assert _ended(rounds[0]) == [(0, 0, 0, 1, 0, 5)]
    assert _under_way(states[1]) == [(1, 1, 8), (2, 1, 17), (0, 4, 19, 1, 19, 26)]
    # 1 counts at 8 s. Until 19 s it can make one step; it arrives at 16 s and waits.
    assert _ended(rounds[1]) == [(1, 0, 1, 1, 0, 8)]
    assert _under_way(states[2])[0] == (1, 1, 16, 1, 19, 26)
    # 2 counts at 17 s, when 1 waits. It cannot come by 19 s. 0 may be back at 26 + 14 s: 2 makes one step until 34 s.
    assert _ended(rounds[2]) == [(2, 0, 2, 1, 0, 17)]
    assert _under_way(states[3])[0] == (1, 1, 16, 1, 19, 26)
    assert _under_way(states[3])[2] == (2, 1, 34, 2, 34, 17 + 1.5 * 17)
    # The group of 0 and 1 is whole at 19 s. Both can come by 34 s, with 4 and 2 steps.
    assert _ended(rounds[3]) == [(1, 2, 1, 1, 8, 16), (0, 1, 2, 4, 5, 19)]
    assert rounds[3].end_seconds == 19
    assert _under_way(states[4]) == [
        (0, 4, 33, 2, 34, 42.5),
        (1, 2, 33, 2, 34, 42.5),
        (2, 1, 34, 2, 34, 42.5),
    ]
    # All three count together at 34 s; from now on all begin at once.
    assert [row[:3] for row in _ended(rounds[4])] == [(0, 4, 0), (1, 4, 0), (2, 3, 1)]
    assert (rounds[4].end_seconds, states[5].version) == (34, 5)


def test_who_comes_after_the_latest_moment_counts_alone(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # Both count at 5 s, and go on with 4 steps until 19 s, at the latest 22.5 s. 1 pauses from 10 to 60 s.
    population = population_of([{}, {"slots": [(0, 10), (60, 1000)]}], period=1000.0)
    policy = Compass(
        concurrency=2, least_steps=1, most_steps=4, latest_factor=1.25, availability="resume"
    )
    state, ends, ended = ClockState(), [], []
    for number in range(1, 6):
        timeline, state = round_of(policy, population, 1, state, round_number=number)
        ends.append(timeline.end_seconds)
        ended.append(timeline.participants["client"].tolist())
    # 0 counts alone at 22.5 s, then with 4 steps each at 36.5, 50.5 and 64.5 s; 1 arrives at 69 s.
    assert ends == [5, 22.5, 36.5, 50.5, 64.5]
    assert ended == [[0, 1], [0], [0], [0], [0]]
    timeline, state = round_of(policy, population, 1, state, round_number=6)
    assert _ended(timeline) == [(1, 1, 4, 4, 5, 69)]


@pytest.mark.parametrize("slow", [1, 3])
def test_speeds_alike_are_synchronous_rounds(
    population_of: PopulationOf, round_of: RoundOf, slow: int
) -> None:
    """All arrive at one moment from the beginning: one step, however many they are."""
    population = population_of([{"ms": 100 * slow}] * 5, period=10_000.0)
    policy = Compass(concurrency=5, least_steps=3, most_steps=3, latest_factor=1)
    state = ClockState()
    for number in range(1, 5):
        timeline, state = round_of(policy, population, 1, state, round_number=number)
        assert _ended(timeline) == [
            (client, number - 1, 0, 3, timeline.start_seconds, timeline.end_seconds)
            for client in range(5)
        ]
        assert timeline.end_seconds == number * (2 + 9 * slow)
        assert set(timeline.participants["began"].tolist()) == {number}


def test_a_population_of_which_nobody_can_ever_finish_is_an_error(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # They drop out again and again, and the round would never end.
    policy = Compass(concurrency=2, least_steps=1, most_steps=3)
    with pytest.raises(InputError, match="can ever finish a round"):
        round_of(policy, population_of([{"slots": [(0, 1)]}] * 3), 1)


def test_a_place_whose_client_is_offline_is_given_to_another(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{"slots": [(0, 5)]}, {"slots": [(5, 90)]}])
    policy = Compass(concurrency=1, least_steps=1, most_steps=4)
    first, state = round_of(policy, population, 1, round_number=1)
    assert _ended(first) == [(0, 0, 0, 1, 0, 5)]
    assert (len(state.flights), len(state.groups)) == (0, 0)
    second, state = round_of(policy, population, 1, state, round_number=2)
    assert _ended(second) == [(1, 1, 0, 1, 5, 10)]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"least_steps": 5}, "clock.most_steps: 4 is less than clock.least_steps, which is 5"),
        ({"costs": "measured"}, "clock.costs: 'measured' is not allowed with clock.mode compass"),
        ({"latency": Latency(server_up_kbps=5.0)}, "clock.latency.server_down_kbps or"),
        ({"latency": {"cells": {"number": 2, "up_kbps": 9}}}, "clock.latency.cells.number is not"),
        ({"battery": {"capacity_joules": 9}}, "clock.battery.capacity_joules is not allowed with"),
        ({"latency": Latency(server_seconds=5.0)}, "clock.latency.server_seconds: 5 is not"),
    ],
)
def test_what_does_not_go_with_it_is_told_in_one_line(keys: dict[str, Any], said: str) -> None:
    policy = Compass(**({"concurrency": 3, "least_steps": 1, "most_steps": 4} | keys))
    with pytest.raises(InputError) as caught:
        policy.check()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
