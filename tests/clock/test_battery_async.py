"""Batteries where participants begin one after the other: against a simulation in exact fractions."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from mpifl.clock.battery import Battery
from mpifl.clock.policies.async_ import Async
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.semisync import Semisync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import CHARGE, Call, ClockState, Outcome
from mpifl.errors import InputError
from mpifl.population.population import Population
from mpifl.traces.bandwidth import Bandwidth
from tests.clock.conftest import WORK
from tests.clock.test_battery import Phone, battery, charges, with_watts
from tests.known import known
from tests.makers import PopulationOf

CLIENTS, UPDATES, PLACES, PERIOD = 6, 2, 3, 60
Row = tuple[int, int, Fraction, Fraction, Fraction]
"""Client, outcome, start, stop, joules left."""


class Traffic:
    """Rounds of UPDATES updates with PLACES under way; the lowest client that may be asked is."""

    def __init__(self, phones: list[Phone], seconds: list[Fraction], watts: int, always: bool):
        self.phones, self.seconds, self.watts, self.always = phones, seconds, watts, always
        self.now = Fraction(0)
        self.under_way: dict[int, Row] = {}

    def may(self, client: int, moment: Fraction) -> bool:
        phone = copy(self.phones[client])
        phone.move(moment)
        least = Fraction(phone.cell.ask_level) * phone.capacity
        above = phone.level > least or (phone.level == least and phone.plugged(moment))
        return above and (self.always or phone.plugged(moment))

    def next_chance(self, client: int) -> Fraction | None:
        """When it may be asked, which is not now: at a border, or as it is charged between two."""
        phone = copy(self.phones[client])
        phone.move(self.now)
        for _ in range(60):
            if phone.plugged(phone.now) and phone.cell.charge_watts:
                missing = Fraction(phone.cell.ask_level) * phone.capacity - phone.level
                moment = phone.now + missing / Fraction(phone.cell.charge_watts)
                if phone.now < moment <= phone.next_border(phone.now):
                    return moment
            phone.move(phone.next_border(phone.now))
            if self.may(client, phone.now):
                return phone.now
        return None

    def begin(self, client: int) -> None:
        phone, start = self.phones[client], self.now
        phone.move(start)
        left = None if self.always else phone.next_border(start) - start
        phases: list[tuple[Fraction, Fraction]] = []
        for seconds, watts in ((1, 0), (self.seconds[client], self.watts), (1, 0)):
            stretch = Fraction(seconds) if left is None else min(Fraction(seconds), left)
            left = None if left is None else left - stretch
            phases.append((stretch, Fraction(watts)))
        whole = sum(seconds for seconds, _ in phases) == self.seconds[client] + 2
        down = phone.take_part(start, phases, False)
        outcome = Outcome.COMPLETED if whole and down is None else Outcome.DROPPED
        self.under_way[client] = (client, outcome, start, phone.now, phone.level)

    def round(self) -> list[Row]:
        ended: list[Row] = []
        while sum(row[1] == Outcome.COMPLETED for row in ended) < UPDATES:
            counted = {row[0] for row in ended if row[1] == Outcome.COMPLETED}
            free = [c for c in range(CLIENTS) if c not in counted and c not in self.under_way]
            for client in free:
                if len(self.under_way) < PLACES and self.may(client, self.now):
                    self.begin(client)
            chances = []
            if len(self.under_way) < PLACES:
                waiting = [c for c in free if c not in self.under_way]
                chances = [m for c in waiting if (m := self.next_chance(c)) is not None]
            stops = [(row[3], client) for client, row in self.under_way.items()]
            if stops and (not chances or min(stops)[0] <= min(chances)):
                self.now, client = min(stops)
                ended.append(self.under_way.pop(client))
            else:
                self.now = min(chances)
        return ended


@pytest.mark.parametrize("rule", ["strict", "always"])
def test_rounds_are_those_of_a_simulation(population_of: PopulationOf, rule: str) -> None:
    tally: Counter[str] = Counter()
    for seed in range(6):
        random = Random(seed)
        slots: list[list[tuple[int, int]]] = []
        for _ in range(CLIENTS):
            borders = sorted(random.sample(range(1, PERIOD), 4))
            slots.append([(borders[0], borders[1]), (borders[2], borders[3])])
        # Of the first three what is between the two levels is enough; the others often drop out.
        some = [
            *(random.randint(1, 2) for _ in range(3)),
            *(random.randint(6, 30) for _ in range(3)),
        ]
        order = random.sample(range(CLIENTS), CLIENTS)
        # Sixteenths keep their events apart.
        seconds = [some[place] + (1 + c) / 16 for c, place in enumerate(order)]
        full = 0.25 if seed % 2 else 0.4  # a quarter is too little to be asked
        cell = battery(
            64.0,
            full,
            charge_watts=random.choice([1.0, 3.0]),
            idle_watts=0.25,
            ask_level=0.3,
            least_level=0.15,
        )
        phones: list[dict[str, Any]] = [
            {"slots": own, "ms": 100 * each / 3} for own, each in zip(slots, seconds, strict=True)
        ]
        watts = random.choice([2, 3])
        population = with_watts(population_of(phones, float(PERIOD)), watts)
        population = replace(population, always_online=rule == "always")
        simulation = Traffic(
            [Phone(cell, own, PERIOD, Fraction(full) * 64, Fraction(0)) for own in slots],
            [Fraction(each) for each in seconds],
            watts,
            rule == "always",
        )

        policy = Buffered(concurrency=PLACES, availability=rule, battery=cell)
        state = ClockState()
        for number in range(1, 4):
            expected = simulation.round()
            timeline, state = policy.advance(state, _call(population, state, number))
            rows = timeline.participants
            assert rows["client"].tolist() == [row[0] for row in expected], (seed, number)
            assert rows["outcome"].tolist() == [row[1] for row in expected]
            for name, place in (("start_seconds", 2), ("stop_seconds", 3)):
                assert rows[name] == pytest.approx([float(row[place]) for row in expected])
            assert timeline.joules_left == pytest.approx([float(row[4]) for row in expected])
            tally["dropped"] += int(np.count_nonzero(rows["outcome"] == Outcome.DROPPED))
            tally["twice"] += len(rows) - len(set(rows["client"].tolist()))
            tally["waited"] += timeline.waited_seconds > 0
    assert min(tally["dropped"], tally["waited"]) > 0, tally
    assert rule == "always" or tally["twice"]


def _call(population: Population, state: ClockState, number: int) -> Call:
    def lowest(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        everyone = np.arange(CLIENTS)
        found = everyone[[_is_online(population, c, now) for c in range(CLIENTS)]]
        return np.setdiff1d(found, busy)[:wanted]

    return Call(UPDATES, lowest, population, WORK, round=number, charges=state.charges)


def _is_online(population: Population, client: int, now: float) -> bool:
    from mpifl.clock.kernels.availability import online_until, pattern_of

    phones = population.phones
    return bool(online_until(phones, pattern_of(phones, client), now) > now)


@pytest.mark.parametrize(
    "policy",
    [
        Buffered(concurrency=4),
        Async(concurrency=4),
        Semisync(concurrency=4, window_seconds=9.0),
    ],
    ids=["buffered", "async", "semisync"],
)
def test_batteries_that_never_run_low_change_nothing(
    population_of: PopulationOf, policy: RoundPolicy
) -> None:
    phones: list[dict[str, Any]] = [{"ms": 40 + 30 * c, "slots": [(0, 30 + c)]} for c in range(6)]
    population = with_watts(population_of(phones, float(PERIOD)), 2.0)
    huge = policy.model_copy(update={"battery": battery(1e12)})
    states = [ClockState(), ClockState()]
    for number in range(1, 8):
        made = [
            one.advance(state, replace(_call(population, state, number), participants=1))
            for one, state in zip((policy, huge), states, strict=True)
        ]
        states = [after for _, after in made]
        plain, charged = (timeline.participants for timeline, _ in made)
        assert plain.tobytes() == charged.tobytes()
        assert states[0].flights.tobytes() == states[1].flights.tobytes()
        assert len(made[1][0].joules_left) == len(charged)


def test_the_clock_says_that_too_few_will_ever_be_charged(population_of: PopulationOf) -> None:
    """Of 6 clients one has what it takes, and a round is to have two updates of different clients."""
    population = with_watts(population_of([{}] * CLIENTS), 0.0)
    cell = Battery(
        capacity_joules=100.0, start_low=0.1, start_high=0.1, charge_watts=0.0, idle_watts=0
    )
    state = ClockState(charges=charges((2, 0.0, 90.0)))
    policy = Buffered(concurrency=PLACES, battery=cell, availability="always")
    population = replace(population, always_online=True)
    with pytest.raises(InputError, match=r"none of 5 clients that has not counted in round 1 ever"):
        policy.advance(state, _call(population, state, 1))


def test_who_is_charged_while_an_outage_keeps_it_offline_is_asked_after_it(
    population_of: PopulationOf,
) -> None:
    # Nothing comes to the first for as long as it is online: it never stops.
    population = population_of([{"slots": [(0, 40)]}, {"slots": [(0, 100)]}])
    kbps = np.array([0.0, 8.0])
    curves = Bandwidth(np.array([0, 2]), np.array([0.0, 40.0]), kbps, kbps, np.array([100.0]))
    trace = replace(known(population.trace), bandwidth=curves)
    population = replace(population, trace=trace)
    slots = [[(0.0, 40.0)], [(0.0, 20.0), (60.0, 100.0)]]
    slots = [slots[row] for row in np.argsort(population.patterns(np.arange(2)))]
    borders = np.array([border for each in slots for slot in each for border in slot])
    cut = replace(
        trace,
        offsets=np.cumsum([0, *map(len, slots)]),
        start=borders[::2],
        end=borders[1::2],
    )
    population = replace(population, trace=cut, as_traced=population)

    cell = Battery(capacity_joules=100.0, charge_watts=1.0, idle_watts=0.0)
    held = np.array([(0, 0.0, 90.0), (1, 0.0, 1.0)], CHARGE)  # asked above 30 J: after 29 s
    policy = Buffered(concurrency=2, availability="resume", battery=cell)

    def online(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        found = np.array([c for c in (0, 1) if _is_online(population, c, now)], np.int64)
        return np.setdiff1d(found, busy)[:wanted]

    call = Call(1, online, population, WORK, charges=held)
    timeline, _ = policy.advance(ClockState(charges=held), call)
    assert timeline.participants["client"].tolist() == [1]
    assert timeline.participants["start_seconds"].tolist() == [60.0]
