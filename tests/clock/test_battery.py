"""Batteries: against a simulation in exact fractions, event by event, that shares no code with the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from mpifl.clock.battery import Battery
from mpifl.clock.latency import Latency
from mpifl.clock.policies.all import All
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import CHARGE, Call, ClockState, Outcome, Timeline
from mpifl.errors import InputError
from mpifl.job.outages import Outages
from mpifl.kernels.permutation import permuted
from mpifl.population.memory import with_memory
from mpifl.population.outages import with_outages
from mpifl.population.population import Population
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.prospects import prospects
from tests.clock.conftest import WORK
from tests.known import known
from tests.makers import PopulationOf, RoundOf

OUTAGES = Outages(regions=2, days_between=0.1, hours=1, days=1)


def battery(capacity: float = 100.0, start: float = 1.0, **more: float) -> Battery:
    return Battery(capacity_joules=capacity, start_low=start, start_high=start, **more)


def charges(*rows: tuple[int, float, float]) -> np.ndarray:
    return np.array(list(rows), CHARGE)


def with_watts(population: Population, watts: float, per_byte: float = 0.0) -> Population:
    """The same phones, all with this power of computing and this energy of a byte, each way."""
    n = known(population.trace).devices
    energy: dict[str, Any] = {
        "compute_watts": np.full(n, watts),
        "download_joules_per_byte": np.full(n, per_byte),
        "upload_joules_per_byte": np.full(n, per_byte),
    }
    return replace(population, trace=replace(known(population.trace), **energy))


class Phone:
    """One battery in fractions: plugged in, online and at work are looked up at every event."""

    def __init__(
        self,
        cell: Battery,
        slots: list[tuple[int, int]],
        period: float,
        level: Fraction,
        now: Fraction,
    ) -> None:
        self.cell, self.slots, self.period, self.level, self.now = (
            cell,
            slots,
            Fraction(period),
            level,
            now,
        )
        self.borders = sorted(
            {self.period, *(Fraction(border) for slot in slots for border in slot)}
        )
        assert cell.capacity_joules is not None
        self.capacity = Fraction(cell.capacity_joules)

    def plugged(self, now: Fraction) -> bool:
        moment = now % self.period
        return any(a <= moment < b for a, b in self.slots)

    def next_border(self, now: Fraction) -> Fraction:
        turn = now // self.period * self.period
        return turn + next(border for border in self.borders if border > now - turn)

    def move(
        self, until: Fraction, drain: Fraction = Fraction(0), least: Fraction | None = None
    ) -> Fraction | None:
        """Go on to ``until``; the moment at which the battery is down to ``least``, if it is before."""
        while self.now < until:
            end = min(until, self.next_border(self.now))
            watts = (
                Fraction(self.cell.charge_watts)
                if self.plugged(self.now)
                else -Fraction(self.cell.idle_watts)
            )
            watts -= drain
            after = self.level + watts * (end - self.now)
            if least is not None and watts < 0 and after < least:
                self.now += max(self.level - least, Fraction(0)) / -watts
                self.level = min(self.level, least)
                return self.now
            self.level = min(max(after, Fraction(0)), self.capacity)
            self.now = end
        return None

    def take_part(
        self,
        start: Fraction,
        phases: Sequence[tuple[float | Fraction, float | Fraction]],
        pausing: bool,
    ) -> Fraction | None:
        """Download, train, upload (seconds, watts): the moment at which the battery ends it."""
        self.move(start)
        least = Fraction(self.cell.least_level) * self.capacity
        for seconds, watts in phases:
            left = Fraction(seconds)
            while left:
                stretch = left
                if pausing:
                    if not self.plugged(self.now):
                        if (
                            down := self.move(self.next_border(self.now), Fraction(0), least)
                        ) is not None:
                            return down
                        continue
                    stretch = min(left, self.next_border(self.now) - self.now)
                if (down := self.move(self.now + stretch, Fraction(watts), least)) is not None:
                    return down
                left -= stretch
        return None


def drawn(seed: int) -> tuple[Random, list[tuple[int, int]], Battery, float]:
    """A population of a client or two, whose numbers are sums of powers of two: floats are exact."""
    random = Random(seed)

    def eighth(low: int, high: int) -> float:
        return random.randint(8 * low, 8 * high) / 8

    borders = sorted(random.sample(range(1, 40), 2 * random.randint(1, 3)))
    slots = list(zip(borders[::2], borders[1::2], strict=True))
    cell = battery(
        64.0,
        random.choice([0.5, 0.75, 1.0]),
        charge_watts=eighth(0, 4),
        idle_watts=eighth(0, 2),
        ask_level=0.25,
        least_level=random.choice([0.0, 0.125, 0.25]),
    )
    return random, slots, cell, random.choice([1.0, 4.0, 16.0])


@pytest.mark.parametrize("rule", ["strict", "resume", "always"])
@pytest.mark.parametrize("seed", range(12))
def test_a_participation_ends_and_leaves_what_the_simulation_says(
    population_of: PopulationOf, rule: str, seed: int
) -> None:
    random, slots, cell, watts = drawn(seed)
    population = with_watts(population_of([{"slots": slots}], 40.0), watts, 2.0**-8)
    population = replace(population, always_online=rule == "always")
    start = float(slots[0][0] + 40 * random.choice([0, 1, 37]))
    policy = All(battery=cell, availability=rule)
    call = Call(1, lambda now, wanted, draw, busy: np.arange(1), population, WORK)
    rows = policy.launch(call, np.arange(1), start, 0)

    phone = Phone(cell, slots, 40, Fraction(cell.start_low) * 64, Fraction(0))
    spread = Fraction(1000) * Fraction(2) ** -8  # of 1 s each way
    down = phone.take_part(
        Fraction(start), [(1, spread), (3, Fraction(watts)), (1, spread)], rule == "resume"
    )
    stop, outcome = float(rows["stop_seconds"][0]), Outcome(rows["outcome"][0])
    online_until = Fraction(start) + slots[0][1] - slots[0][0]
    end = min(Fraction(start) + 5, online_until) if rule == "strict" else Fraction(start) + 5
    if down is not None and (rule == "resume" or down < end):
        assert stop == pytest.approx(float(down), rel=1e-12)
        assert outcome == Outcome.DROPPED
    elif rule == "strict" and online_until < Fraction(start) + 5:
        assert (stop, outcome) == (float(online_until), Outcome.DROPPED)
        phone = Phone(cell, slots, 40, Fraction(cell.start_low) * 64, Fraction(0))
        done = Fraction(float(online_until)) - Fraction(start)
        phases = [(Fraction(1), spread), (Fraction(3), Fraction(watts)), (Fraction(1), spread)]
        cut = []
        for seconds, power in phases:
            cut.append((min(seconds, done), power))
            done -= cut[-1][0]
        phone.take_part(Fraction(start), cut, False)
    else:
        assert (stop, outcome) == (float(phone.now), Outcome.COMPLETED)

    left = policy.charges_after(call, rows)
    assert left["client"].tolist() == [0]
    assert left["second"][0] == stop
    assert left["joules"][0] == pytest.approx(float(phone.level), rel=1e-12, abs=1e-9)

    # Later: it rests, for many periods.
    later = Fraction(stop) + random.randint(1, 4000)
    phone.move(later)
    then = replace(call, charges=left)
    found = cell.joules(then, np.arange(1), np.array([float(later)]))
    assert found[0] == pytest.approx(float(phone.level), rel=1e-12, abs=1e-9)


def test_who_is_low_is_passed_over_and_the_round_waits_until_somebody_is_charged(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # Of 100 J: with 30 J it is not asked, with 15 J it drops out.
    population = with_watts(population_of([{}, {}, {}]), 8.0)
    policy = All(battery=battery(charge_watts=2.0))
    held = charges((0, 0.0, 10.0), (1, 0.0, 30.0), (2, 0.0, 90.0))
    state = ClockState(charges=held)

    def lowest(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return np.setdiff1d(np.arange(3), busy)[:wanted]

    def play(
        state: ClockState, wanted: int = 2, population: Population = population
    ) -> tuple[Timeline, ClockState]:
        call = Call(wanted, lowest, population, WORK, charges=state.charges)
        return policy.advance(state, call)

    timeline, after = play(state)
    assert timeline.participants["client"].tolist() == [2]
    # 1 s and 1 s of transfers and 3 s of training with 2 W from the plug: full, less 6 W for 3 s.
    assert after.charges["joules"].tolist() == [10.0, 30.0, 90 + 2 - 18 + 2]
    assert timeline.joules_left.tolist() == [76.0]
    assert after.charges["second"].tolist() == [0.0, 0.0, 5.0]

    # The second is first above 30 J, after 3 s; 8.8 - 2 W take it from 32 to 15 J in its training.
    state = ClockState(charges=charges((0, 0.0, 10.0), (1, 0.0, 24.0), (2, 0.0, 20.0)))
    with_watts_it_has = with_watts(population, 8.8)
    timeline, after = play(state, population=with_watts_it_has)
    assert timeline.participants["client"].tolist() == [1]
    assert timeline.start_seconds == pytest.approx(3.0, abs=1e-9)
    assert timeline.waited_seconds == timeline.start_seconds
    assert timeline.participants["stop_seconds"].tolist() == [pytest.approx(4 + 17 / 6.8)]


def test_a_battery_that_is_down_ends_a_participation_with_what_it_has_done(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = with_watts(population_of([{}, {"ms": 25}]), 40.0)
    cell = battery(100.0, 0.5, charge_watts=0.0, idle_watts=0.0)
    timeline, after = round_of(Sync(battery=cell, overcommitment=1.0), population, 2)
    rows = timeline.participants
    # 50 J less 40 W: 15 J are left 0.875 s after the download; the quick one trains for 0.75 s.
    assert rows["stop_seconds"].tolist() == [1.875, 2.75]
    assert rows["outcome"].tolist() == [Outcome.DROPPED, Outcome.COMPLETED]
    assert rows["joules"].tolist() == [35.0, 30.0]
    assert after.charges["joules"].tolist() == [15.0, 20.0]


def test_partial_work_by_a_deadline_costs_what_it_takes(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = with_watts(population_of([{}], held=40), 8.0)
    cell = battery(100.0, 1.0, charge_watts=0.0)
    timeline, after = round_of(Deadline(seconds=8.0, battery=cell), population, 1)
    assert timeline.participants["steps"].tolist() == [2]
    assert after.charges["joules"].tolist() == [100.0 - 6 * 8]


def test_batteries_so_large_that_they_never_run_low_change_nothing(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = with_watts(population_of([{}, {"ms": 25}, {"slots": [(0, 4)]}]), 8.0)
    plain, huge = (
        round_of(Sync(overcommitment=1.5, battery=cell), population, 2)[0]
        for cell in (Battery(), battery(1e12))
    )
    assert huge.participants.tobytes() == plain.participants.tobytes()
    assert huge.end_seconds == plain.end_seconds


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize(
    "without",
    [
        lambda population: with_outages(population, OUTAGES, 3),
        lambda population: with_memory(population, 2.0),
        lambda population: with_memory(with_outages(population, OUTAGES, 3), 2.0),
    ],
    ids=["outages", "memory", "both"],
)
def test_phones_are_plugged_in_when_the_trace_says_so_whatever_keeps_them_offline(
    population_of: PopulationOf, without: Callable[[Population], Population], always: bool
) -> None:
    population = population_of([{"slots": [(0, 10 + 20 * k)]} for k in range(4)])
    trace = replace(known(population.trace), memory_mb=np.arange(1.0, 5.0))
    population = replace(population, trace=trace, always_online=always)
    cell = battery(1000.0, 0.5, charge_watts=3.0, idle_watts=1.0)
    clients = np.arange(4)

    def nobody(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return clients[:0]

    changed = without(population)
    for now in (5.0, 55.0, 230.0, 86_000.0):
        of_trace, found = (
            cell.joules(Call(1, nobody, each, WORK), clients, np.full(4, now))
            for each in (population, changed)
        )
        assert found.tolist() == of_trace.tolist()


def test_the_clock_says_that_nobody_will_ever_be_charged(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    population = population_of([{"slots": [(0, 50)]}, {"slots": [(10, 60)]}])
    policy = All(battery=battery(100.0, 0.2, charge_watts=0.1, idle_watts=0.5))
    with pytest.raises(InputError, match=r"ask_level: 0\.3 is not allowed.*ever has so much"):
        round_of(policy, population, 1)


@pytest.mark.parametrize(
    ("policy", "keys", "named"),
    [
        (All, {"latency": {"server_up_kbps": 9}}, "server_down_kbps or server_up_kbps"),
        (All, {"availability": "fedscale"}, "availability fedscale"),
        (All, {"latency": {"radio": {"tail_seconds": 2, "tail_watts": 1}}}, "tail_seconds"),
    ],
)
def test_what_does_not_go_with_batteries_is_refused(
    policy: type[RoundPolicy], keys: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        policy(battery=battery(), **keys).check()


def test_levels_that_make_no_sense_are_refused() -> None:
    for keys in ({"ask_level": 0.1}, {"start_high": 0.25}):
        with pytest.raises(ValueError, match="is above"):
            Battery(capacity_joules=1.0, **keys)


def test_keys_of_a_battery_without_a_capacity_are_refused() -> None:
    with pytest.raises(ValueError, match="its keys need capacity_joules"):
        Battery(ask_level=0.4)
    assert not Battery(ask_level=0.3).counted  # as job.yaml of a run has it


def test_what_is_foretold_of_rounds_passes_over_who_is_low() -> None:
    keys = {"capacity_joules": 1, "charge_watts": 0, "start_low": 0.1, "start_high": 0.2}
    experiment = check_job("quickstart", [f"clock.battery.{key}={keys[key]}" for key in keys])[0]
    with pytest.raises(InputError, match="of 100 clients ever has so much"):
        prospects(experiment)


def test_a_battery_gives_what_its_clients_own_device_takes_and_the_base_power_of_its_radio(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    """1 s down, 3 s of training and 1 s up, on phones that are neither charged nor idle."""
    population = population_of([{}, {}, {}])
    own = np.array([2.0, 5.0, 11.0])
    watts = np.empty(3)
    watts[[permuted(client, 3, 1) for client in range(3)]] = own
    per_byte: dict[str, Any] = {
        "download_joules_per_byte": np.full(3, 0.001),
        "upload_joules_per_byte": np.full(3, 0.002),
    }
    trace = replace(known(population.trace), compute_watts=watts, **per_byte)
    cell = battery(charge_watts=0.0, idle_watts=0.0)
    policy = All(battery=cell, latency=Latency(radio={"base_watts": 10.0}))
    timeline, after = round_of(policy, replace(population, trace=trace), 3)
    spent = 3 * own + 1000 * (0.001 + 0.002) + 2 * 10
    assert after.charges["client"].tolist() == [0, 1, 2]
    assert after.charges["joules"] == pytest.approx(100 - spent)
    assert timeline.joules_left == pytest.approx(100 - spent[timeline.participants["client"]])
