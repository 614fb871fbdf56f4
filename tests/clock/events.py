"""The round policies' reference: the same rounds, event by event in SimPy, in exact fractions of a second."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import brute
import numpy as np
import pytest
import simpy
from hypothesis import assume, reject
from hypothesis import strategies as st

from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.population.permutation import permuted
from mpifl.population.population import Population
from mpifl.selection.uniform import Uniform

COMPLETED, DROPPED, CUT, STALE = Outcome


class NeverError(Exception):
    """No client is ever online, or none for long enough."""


@dataclass(frozen=True)
class Phone:
    """One client: what it holds, its speeds, when it is online."""

    held: int
    workload: Workload
    down: Fraction
    one: Fraction
    up: Fraction
    slots: brute.Slots
    period: float
    watts: float
    joules_per_byte: tuple[float, float]

    @property
    def batches(self) -> list[int]:
        """Of one epoch, taken off the heap of samples one after the other."""
        size = self.workload.batch_size
        return [min(size, self.held - at) for at in range(0, self.held, size)]

    @property
    def steps(self) -> int:
        work = self.workload
        return len(self.batches) * (work.epochs or 0) if work.local_steps is None else work.local_steps

    def samples(self, steps: int) -> int:
        return sum(itertools.islice(itertools.cycle(self.batches), steps))

    def compute(self, steps: int) -> Fraction:
        return self.one * (steps * self.workload.batch_size if self.workload.full_batches else self.samples(steps))

    def work(self, steps: int | None = None) -> Fraction:
        return self.down + self.compute(self.steps if steps is None else steps) + self.up

    def can_finish(self, rule: str, steps: int | None = None) -> bool:
        work = self.work(steps)
        if rule == "strict":
            return brute.longest_stay(self.slots, self.period) >= work
        if rule == "fedscale":  # begun as it comes online, or done as it comes online, if it can be at all
            starts = [Fraction(start) for start, _ in self.slots]
            return any(self.online(s) and self.online(s + work) for start in starts for s in (start, start - work))
        return bool(self.slots)

    def online(self, moment: Fraction) -> bool:
        within = moment % Fraction(self.period)
        return any(start <= within < end for start, end in self.slots)

    def slots_from(self, moment: Fraction) -> Iterator[tuple[Fraction, Fraction]]:
        """Absolute slots without end: those not over by ``moment``."""
        before = moment // Fraction(self.period) - 1
        for turn in itertools.count(before) if self.slots else ():
            base = turn * Fraction(self.period)
            for start, end in self.slots:
                if base + Fraction(end) > moment:
                    yield base + Fraction(start), base + Fraction(end)


def phones_of(population: Population, workload: Workload) -> list[Phone]:
    """Every client, from the definitions: which phone it has, what a transfer and a sample cost."""
    trace, phones = population.trace, []
    for client in range(population.clients):
        phone = permuted(client, max(population.clients, trace.devices, trace.patterns), population.phone_key)
        device, pattern = phone % trace.devices, phone % trace.patterns
        slots = [(float(trace.start[k]), float(trace.end[k])) for k in range(*trace.offsets[pattern : pattern + 2])]
        kbit, period = Fraction(workload.bits_per_kbit), float(trace.period[pattern])
        phones.append(
            Phone(
                held=int(np.diff(population.dataset.train.offsets)[client % population.dataset.train.clients]),
                workload=workload,
                down=workload.bytes_down * 8 / (kbit * Fraction(trace.download_kbps[device])),
                one=Fraction(workload.inferences_per_sample) * Fraction(trace.compute_ms_per_sample[device]) / 1000,
                up=workload.bytes_up * 8 / (kbit * Fraction(trace.upload_kbps[device])),
                slots=[(0.0, period)] if population.always_online else slots,
                period=period,
                watts=float(trace.compute_watts[device]),
                joules_per_byte=(float(trace.download_joules_per_byte[device]), float(trace.upload_joules_per_byte[device])),
            )
        )
    return phones


@dataclass(eq=False)
class Flight:
    """One participant of the simulation."""

    client: int
    phone: Phone
    start: Fraction
    base: int
    steps: int
    outcome: Outcome | None = None
    stop: Fraction | None = None
    staleness: int = 0

    @property
    def work(self) -> Fraction:
        return self.phone.work(self.steps)


class Events:
    """Participants and the rule of their availability. ``server``, a subclass's, says what a round is.

    Events of one instant happen in this order: finishes, dropouts, the server's decisions.
    """

    def __init__(self, phones: list[Phone], choose: Callable[[float, int, int], list[int]], rule: str, now: float) -> None:
        self.env = simpy.Environment(initial_time=Fraction(now))
        self.phones, self.choose, self.rule = phones, choose, rule
        self.flights: list[Flight] = []
        self.news = self.env.event()

    def run(self) -> Any:
        """All that the server does."""
        self.env.run(until=self.env.process(self.server()))
        return self

    def server(self) -> Iterator[simpy.Event]:
        raise NotImplementedError

    def after_all_else(self, priority: int = 3) -> simpy.Event:
        """An event of this very instant that comes after all others of it with a lower number."""
        event = self.env.event()
        event._ok, event._value = True, None
        self.env.schedule(event, priority=priority)
        return event

    def launch(self, client: int, base: int, steps: int | None = None) -> Flight:
        phone = self.phones[client]
        flight = Flight(client, phone, self.env.now, base, phone.steps if steps is None else steps)
        self.flights.append(flight)
        process = self.env.process({"resume": self.pausing, "fedscale": self.looked_at}.get(self.rule, self.working)(flight))
        if self.rule == "strict":
            self.env.process(self.going_offline(flight, process))
        return flight

    def end(self, flight: Flight, outcome: Outcome) -> None:
        flight.outcome, flight.stop = outcome, self.env.now
        self.news.succeed()
        self.news = self.env.event()

    def working(self, flight):
        try:
            yield self.env.timeout(flight.phone.down)
            yield self.env.timeout(flight.phone.compute(flight.steps))
            yield self.env.timeout(flight.phone.up)
            self.end(flight, COMPLETED)
        except simpy.Interrupt:
            self.end(flight, DROPPED)

    def going_offline(self, flight, process):
        for start, end in flight.phone.slots_from(self.env.now):
            if start > self.env.now:
                break
            yield self.env.timeout(end - self.env.now)
        yield self.after_all_else(2)
        if process.is_alive:
            process.interrupt()

    def pausing(self, flight):
        left = flight.work
        for start, end in flight.phone.slots_from(self.env.now):
            yield self.env.timeout(max(start - self.env.now, 0))
            there = min(left, end - self.env.now)
            yield self.env.timeout(there)
            left -= there
            if not left:
                break
        self.end(flight, COMPLETED)

    def looked_at(self, flight):
        if flight.phone.online(self.env.now + flight.work):
            yield self.env.timeout(flight.work)
            self.end(flight, COMPLETED)
        else:  # it was never there
            self.end(flight, DROPPED)
            yield self.env.timeout(0)

    def someone_online(self, phones: list[Phone]) -> simpy.Event:
        """Rings when any of them is online, at once if one is."""
        bell = self.env.event()
        if not any(phone.slots for phone in phones):
            raise NeverError
        for phone in phones:
            self.env.process(self.coming_online(phone, bell))
        return bell

    def coming_online(self, phone, bell):
        for start, _ in phone.slots_from(self.env.now):
            yield self.env.timeout(max(start - self.env.now, 0))
            if not bell.triggered:
                bell.succeed()
            return

    def check_possible(self) -> None:
        if not any(self.able(phone) for phone in self.phones):
            raise NeverError

    def able(self, phone: Phone) -> bool:
        """Whether this client can ever have an update that counts."""
        return phone.can_finish(self.rule)

    def at_work(self, flight: Flight) -> Fraction:
        if self.rule == "resume":
            return brute.online_seconds(flight.phone.slots, flight.phone.period, flight.start, flight.stop)
        return flight.stop - flight.start

    def sent(self, flight: Flight) -> tuple[int, int]:
        """Bytes down and up: whole ones that had gone over the air when the participant stopped."""
        phone, elapsed = flight.phone, self.at_work(flight)
        before = phone.down + phone.compute(flight.steps)

        def share(size: int, there: Fraction, seconds: Fraction) -> int:
            return math.floor(size * min(max(there / seconds, 0), 1)) if size else 0

        work = phone.workload
        return share(work.bytes_down, elapsed, phone.down), share(work.bytes_up, elapsed - before, phone.up)

    def joules(self, flight: Flight) -> float:
        """Of computing and of the bytes that went over the air."""
        phone = flight.phone
        computing = min(max(self.at_work(flight) - phone.down, 0), phone.compute(flight.steps))
        radio = sum(joules * size for joules, size in zip(phone.joules_per_byte, self.sent(flight), strict=True))
        return phone.watts * float(computing) + radio


class Cohort(Events):
    """One round of participants that begin together, and end when ``over`` says or at ``deadline``."""

    def __init__(self, phones, choose, rule, now, wanted, draw=1):
        super().__init__(phones, choose, rule, now)
        self.wanted, self.draw = wanted, draw
        self.start: Fraction = self.env.now
        self.end_moment: Fraction = self.env.now

    def begin(self, clients: list[int]) -> Fraction | None:
        """Start them; the deadline, if there is one."""
        for client in clients:
            self.launch(client, 0)
        return None

    def over(self) -> bool:
        """Whether nothing is left to wait for."""
        return all(flight.stop is not None for flight in self.flights)

    def close(self) -> None:
        """Change who counts."""

    def server(self):
        picks = self.choose(float(self.env.now), self.wanted, self.draw)
        if not picks:
            yield self.someone_online(self.phones)
            picks = self.choose(float(self.env.now), self.wanted, self.draw)
        self.start = self.env.now
        deadline = self.begin(picks)
        alarm = self.env.event() if deadline is None else self.env.timeout(deadline - self.env.now)
        yield self.after_all_else()
        while not (self.over() or alarm.processed):
            yield self.news | alarm
            yield self.after_all_else()
        self.end_moment = self.env.now
        if self.end_moment == self.start:  # all are offline at their end: the round must not stand still
            self.end_moment = min([self.start + min(flight.work for flight in self.flights), *([deadline] if deadline else [])])
        self.close()
        for flight in self.flights:
            if flight.stop is None:
                flight.outcome, flight.stop = CUT, self.env.now
        if not any(flight.outcome == COMPLETED for flight in self.flights):
            self.check_possible()


@dataclass
class Round:
    """What one round of a simulation that goes on came to; ``under_way`` are those who have not ended."""

    start: Fraction
    end: Fraction
    waited: Fraction
    version: int
    draws: int
    ended: list[Flight]
    under_way: list[Flight]


class TooLongError(Exception):
    """So many have landed in one round that it may never end."""


class Traffic(Events):
    """Rounds on end, ``concurrency`` participants under way. Of those who stop in one instant the lower number lands first.

    ``starved`` says that once nobody was under way while all who were online had counted in that round already.
    """

    def __init__(self, case: Case, policy: Any, rounds: int) -> None:
        super().__init__(case.phones, case.listed, policy.availability, case.now)
        self.policy, self.participants, self.number = policy, case.participants, rounds
        self.air: list[Flight] = []
        self.ended: list[Flight] = []
        self.rounds: list[Round] = []
        self.version = self.draws = 0
        self.waited = Fraction(0)
        self.starved = False

    def busy(self) -> set[int]:
        counted = {flight.client for flight in self.ended if flight.outcome == COMPLETED}
        return counted | {flight.client for flight in self.air}

    def fill(self) -> None:
        places = self.policy.concurrency - len(self.air)
        if places > 0:
            self.draws += 1
            order = self.choose(float(self.env.now), len(self.phones), self.draws)
            free = [client for client in order if client not in self.busy()][:places]
            now = self.env.now
            if any(flight.client in free and flight.start == flight.stop == now for flight in self.ended):
                reject()  # see test_fedscales_dropouts_do_not_stop_the_clock
            self.air += [self.launch(client, self.version) for client in free]

    def fill_or_wait(self):
        self.fill()
        if not self.air:
            begin = self.env.now
            free = [phone for client, phone in enumerate(self.phones) if client not in self.busy()]
            yield self.someone_online(free)
            self.waited += self.env.now - begin
            soonest = min(brute.next_online(phone.slots, phone.period, float(begin)) for phone in self.phones)
            self.starved |= soonest < self.env.now or begin == self.env.now
            self.fill()
        yield self.after_all_else()

    def stopped(self) -> list[Flight]:
        """Those who have stopped and not landed, first first."""
        return sorted((f for f in self.air if f.stop is not None), key=lambda flight: (flight.stop, flight.client))

    def land(self, flight: Flight) -> Outcome:
        self.air.remove(flight)
        if flight.outcome == COMPLETED:
            flight.staleness = self.version - flight.base
            if flight.staleness > self.policy.max_staleness:
                flight.outcome = STALE
        self.ended.append(flight)
        if len(self.ended) > 100:
            raise TooLongError
        return flight.outcome

    def events(self):
        """The events of one round."""
        raise NotImplementedError

    def server(self):
        for _ in range(self.number):
            start, self.ended, self.waited = self.env.now, [], Fraction(0)
            yield from self.events()
            self.version += any(flight.outcome == COMPLETED for flight in self.ended)
            came = (start, self.env.now, self.waited, self.version, self.draws)
            self.rounds.append(Round(*came, self.ended, sorted(self.air, key=lambda flight: flight.client)))


class Landings(Traffic):
    """A round ends with the N-th update; each place is filled as soon as it is free."""

    def events(self):
        updates = 0
        while updates < self.participants:
            yield from self.fill_or_wait()
            while not self.stopped():
                yield self.news
                yield self.after_all_else()
            updates += self.land(self.stopped()[0]) == COMPLETED


def advanced(policy: Any, call: Call, state: ClockState, rounds: int) -> ClockState:
    """The state after so many rounds."""
    for _ in range(rounds):
        _, state = policy.advance(state, call)
    return state


def advance_traffic(case: Case, policy: Any, simulation: Traffic, *marks: Fraction) -> list[Timeline]:
    """A policy's rounds against those of a simulation, which is run here. Rejects what no simulation can tell."""
    if sum(phone.can_finish(policy.availability) for phone in case.phones) < case.participants:
        reject()  # rounds may be without end
    try:
        simulation.run()
    except NeverError:
        with pytest.raises(InputError, match=r"^population"):
            advanced(policy, case.call, ClockState(case.now), simulation.number)
        return []
    except TooLongError:
        reject()
    assume(not simulation.starved)
    case.assume_told_apart(simulation, *marks)
    state, timelines = ClockState(case.now), []
    for expected in simulation.rounds:
        timeline, state = policy.advance(state, case.call)
        timelines.append(timeline)
        compare(case, simulation, expected.ended, timeline)
        ends = (timeline.start_seconds, timeline.end_seconds, timeline.waited_seconds)
        assert case.agree(ends, (expected.start, expected.end, expected.waited))
        assert (state.now, state.version, state.draws) == (timeline.end_seconds, expected.version, expected.draws)
        under_way = np.sort(state.flights, order="client")
        assert under_way["client"].tolist() == [flight.client for flight in expected.under_way]
        assert under_way["base"].tolist() == [flight.base for flight in expected.under_way]
        assert case.agree(under_way["start_seconds"], [flight.start for flight in expected.under_way])
    return timelines


def wanted(overcommitment: float, participants: int) -> int:
    return math.ceil(Decimal(str(overcommitment)) * participants)


# Cases


@dataclass(frozen=True)
class Case:
    """Everything that a round depends on, but for the policy's own parameters; ``random`` gives those."""

    population: Population
    workload: Workload
    participants: int
    now: float
    seed: int
    tidy: bool
    random: Random

    def choose(self, now: float, wanted: int, draw: int) -> np.ndarray:
        return Uniform(participants=1).choose(self.population, now, wanted, self.seed, draw)

    def listed(self, now: float, wanted: int, draw: int) -> list[int]:
        return self.choose(now, wanted, draw).tolist()

    def under(self, rule: str) -> Case:
        return replace(self, population=replace(self.population, always_online=rule == "always"))

    @property
    def call(self) -> Call:
        return Call(self.participants, self.choose, self.population, self.workload)

    @property
    def phones(self) -> list[Phone]:
        return phones_of(self.population, self.workload)

    def agree(self, ours: Any, theirs: Any) -> bool:
        """To the last bit where all times are dyadic, else to 1e-9."""
        exact = np.array([float(x) for x in theirs])
        return np.array_equal(ours, exact) if self.tidy else np.allclose(ours, exact, rtol=1e-9, atol=1e-9)

    def assume_told_apart(self, simulation: Events, *marks: Fraction) -> None:
        """No two events lie so near that the last bit of a float decides which comes first.

        Slots begin and end at whole seconds in cases that are not tidy, so those are told apart from finishes here.
        """
        if self.tidy:
            return
        paths: dict[Fraction, set[Any]] = {}
        for flight in simulation.flights:
            if flight.stop is not None and flight.outcome != DROPPED:
                paths.setdefault(flight.stop, set()).add((flight.start, flight.phone.down, flight.work, flight.phone.period))
        assume(all(len(ways) == 1 for ways in paths.values()))  # the same moment, but not the same sum of floats
        moments = {flight.stop for flight in simulation.flights if flight.stop is not None} | set(marks)
        moments |= {flight.start + flight.work for flight in simulation.flights}
        ordered = sorted(moments | {Fraction(round(moment)) for moment in moments})
        assume(all(b - a > 1e-6 for a, b in itertools.pairwise(ordered)))
        works = {phone.work() for phone in simulation.phones}  # against the length of stays
        assume(all(abs(work - round(work)) > 1e-6 for work in works))


def _advance_and_compare(case: Case, policy: Any, simulation: Cohort) -> Timeline:
    """The policy's round against a simulation of it that has run."""
    state = ClockState(case.now)
    timeline, after = policy.advance(state, case.call)
    compare(case, simulation, simulation.flights, timeline)
    ends = (timeline.start_seconds, timeline.end_seconds, timeline.waited_seconds)
    assert case.agree(ends, (simulation.start, simulation.end_moment, simulation.start - Fraction(case.now)))
    updates = any(flight.outcome == COMPLETED for flight in simulation.flights)
    assert (after.now, after.version, after.draws) == (timeline.end_seconds, state.version + updates, state.draws + 1)
    assert len(after.flights) == 0
    return timeline


def advance_cohort(case: Case, policy: Any, simulation: Cohort, marks: Callable[[], list[Fraction]] = list) -> Timeline | None:
    """Run both and compare them; None when nobody can ever finish, which both have to find.

    ``marks`` are moments of the simulation that has run, beside which no event may be too near to tell apart.
    """
    try:
        simulation.run()
    except NeverError:
        with pytest.raises(InputError, match=r"^population"):
            policy.advance(ClockState(case.now), case.call)
        return None
    case.assume_told_apart(simulation, *marks())
    return _advance_and_compare(case, policy, simulation)


def compare(case: Case, simulation: Events, flights: list[Flight], timeline: Timeline) -> None:
    """The participants of a timeline against those of the simulation, in order."""
    rows = timeline.participants
    assert rows["client"].tolist() == [flight.client for flight in flights]
    assert rows["outcome"].tolist() == [flight.outcome for flight in flights]
    for outcome in Outcome:
        assert timeline.count(outcome) == sum(flight.outcome == outcome for flight in flights)
    assert rows["base"].tolist() == [flight.base for flight in flights]
    assert rows["staleness"].tolist() == [flight.staleness for flight in flights]
    assert rows["steps"].tolist() == [flight.steps for flight in flights]
    assert rows["samples"].tolist() == [flight.phone.samples(flight.steps) for flight in flights]
    assert case.agree(rows["start_seconds"], [flight.start for flight in flights])
    assert case.agree(rows["stop_seconds"], [flight.stop for flight in flights])
    assert case.agree(rows["download_seconds"], [flight.phone.down for flight in flights])
    assert case.agree(rows["compute_seconds"], [flight.phone.compute(flight.steps) for flight in flights])
    assert case.agree(rows["upload_seconds"], [flight.phone.up for flight in flights])
    sent = [simulation.sent(flight) for flight in flights]
    assert rows["joules"] == pytest.approx([simulation.joules(flight) for flight in flights], rel=1e-9, abs=1e-2)
    slack = 0 if case.tidy else 1  # a byte that is over at the very moment of the stop
    assert np.all(np.abs(rows["bytes_down"] - [down for down, _ in sent]) <= slack)
    assert np.all(np.abs(rows["bytes_up"] - [up for _, up in sent]) <= slack)


def rule_of(raw: tuple) -> str:
    """An availability rule for what raw_cases drew."""
    return raw[-1].choice(["strict", "strict", "resume", "fedscale", "always"])


@st.composite
def raw_cases(draw: st.DrawFn, tidy: bool, clients: int = 40, busy: bool = False):
    """What a Case is made of.

    Tidy: eighths of seconds, powers of two in kbit/s, 125 ms, and 125 bytes of 1,000 bit (or 128 of 1,024) make all times
    exact in float64, so that ties are ties for both sides, and frequent. Hypothesis draws the borders of slots; the rest has
    to be spread evenly for rounds in which some finish, some drop out and some are cut. ``busy``: half are always online.
    """
    grain = 8 if tidy else 1
    several = draw(st.lists(brute.patterns(grain, 30 * grain, 100 * grain), min_size=1, max_size=5))
    random = Random(repr(several))
    period = several[0][1]
    several.append(([(0.0, period / 2 if tidy else period // 2)], period))
    if busy:
        several += [([(0.0, period)], period)] * len(several)

    def speed() -> tuple[float, float, float]:
        if tidy:
            return 125.0 * random.randint(1, 6), 2.0 ** random.randint(0, 4), 2.0 ** random.randint(0, 4)
        return random.uniform(10, 800), random.uniform(1, 20), random.uniform(1, 20)

    kibit = random.random() < 0.2

    def size() -> int:
        return (128 if kibit else 125) * random.randint(0, 40) if tidy else random.randint(0, 5000)

    epochs = random.choice([None, 1, 2, 3])
    work = Workload(
        size(),
        size(),
        random.randint(1, 8),
        epochs,
        random.randint(1, 5) if epochs is None else None,
        random.choice([1.0, 3.0, 3.0]),
        1024.0 if kibit else 1000.0,
        random.random() < 0.2,
    )
    return (
        [random.randint(1, 12) for _ in range(random.randint(1, 4))],
        [slots for slots, _ in several],
        [period for _, period in several],
        list(zip(*(speed() for _ in range(random.randint(1, 4))), strict=True)),
        random.randint(1, clients),
        random.getrandbits(63),
        work,
        random.randint(1, 8),
        random.choice([0, 1, 10**6]) * period + (random.randint(0, 7) * period / 8 if tidy else random.randint(0, int(period))),
        random.getrandbits(32),
        tidy,
        random,
    )
