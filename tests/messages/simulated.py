"""Actors in SimPy: what ``mpifl.messages.driver`` computes, simulated by processes that share no code with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

Slots = list[tuple[float, float]]
TOLD = ("refused", "broken")
"""Calls that only tell an actor of something."""


@dataclass
class Act:
    """What a handler does: the share of the planned training, messages (to, round, bytes), timers (seconds, round)."""

    training: float
    sends: list[tuple[int, int, int]]
    timers: list[tuple[float, int]]


@dataclass
class Phone:
    """Online in the ``slots`` of each period; speeds in bytes a second, ``seconds`` of the whole planned training."""

    slots: Slots
    period: float
    up: float
    down: float
    seconds: float


@dataclass
class World:
    env: simpy.Environment
    phones: list[Phone]
    script: dict[tuple[int, int], Act]
    strict: bool
    offline: str
    gathers: dict[tuple[int, int], int]
    log: list[tuple[float, int, str, int]] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("sent", "delivered", "lost", "refused"), 0)
    )

    def place(self, phone: Phone) -> float:
        """The second of the period; that of a border where it is one but for rounding."""
        place = self.env.now % phone.period
        borders = [0.0, phone.period, *(border for slot in phone.slots for border in slot)]
        nearest = min(borders, key=lambda border: abs(border - place))
        return nearest % phone.period if abs(nearest - place) < 1e-9 else place

    def is_online(self, phone: Phone) -> bool:
        return any(begin <= self.place(phone) < end for begin, end in phone.slots)

    def until_change(self, phone: Phone) -> float:
        """Seconds until the phone next goes offline or comes online, or the period ends."""
        place = self.place(phone)
        borders = sorted({border for slot in phone.slots for border in slot} | {phone.period})
        return next(border for border in borders if border > place) - place

    def come_online(self, phone: Phone) -> Generator[simpy.Event]:
        while not self.is_online(phone):
            yield self.env.timeout(self.until_change(phone))

    def spend(self, phone: Phone, seconds: float) -> Generator[simpy.Event, Any, bool]:
        """Spend time online; returns whether all of it was, before the phone went offline by the strict rule."""
        left = seconds
        while True:
            change = self.until_change(phone)
            if left <= change + 1e-12:
                yield self.env.timeout(left)
                return True
            left -= change
            yield self.env.timeout(change)
            if not self.is_online(phone):
                if self.strict:
                    return False
                yield from self.come_online(phone)


class Simulated:
    """One actor: a process that takes calls from its inbox one by one, an upload and a download."""

    def __init__(self, world: World, number: int, all_actors: list[Simulated]) -> None:
        self.world, self.number, self.others = world, number, all_actors
        self.phone = world.phones[number]
        self.up = simpy.Resource(world.env)
        self.down = simpy.Resource(world.env)
        self.inbox: deque[tuple[str, int]] = deque([("start", 0)])
        self.gathered: dict[int, int] = {}
        self.news = world.env.event()
        world.env.process(self.live())

    def call(self, what: str, number: int) -> None:
        self.inbox.append((what, number))
        if not self.news.triggered:
            self.news.succeed()

    def live(self) -> Generator[simpy.Event]:
        while True:
            while not self.inbox:
                self.news = self.world.env.event()
                yield self.news
            what, number = self.inbox.popleft()
            act = self.world.script[self.number, number] if what not in TOLD else Act(0.0, [], [])
            yield from self.world.come_online(self.phone)
            begin = self.world.env.now
            done = yield from self.world.spend(self.phone, act.training * self.phone.seconds)
            if not done:
                self.world.counts["lost"] += self.messages_of(what, number)
                self.inbox.appendleft(("broken", number))
                continue
            self.world.log.append((begin, self.number, what, number))
            for to, message, size in act.sends:
                self.world.counts["sent"] += 1
                self.world.env.process(self.carry(to, message, size))
            at_once = [("timer", timer) for seconds, timer in act.timers if seconds == 0]
            self.inbox.extendleft(reversed(at_once))
            for seconds, timer in act.timers:
                if seconds > 0:
                    self.world.env.process(self.later(seconds, timer))

    def messages_of(self, what: str, number: int) -> int:
        if what == "gathered":
            return self.world.gathers[self.number, number]
        return int(what == "message")

    def later(self, seconds: float, timer: int) -> Generator[simpy.Event]:
        yield self.world.env.timeout(seconds)
        self.call("timer", timer)

    def carry(self, to: int, message: int, size: int) -> Generator[simpy.Event]:
        receiver = self.others[to]
        counts = self.world.counts
        with self.up.request() as link:
            yield link
            yield from self.world.come_online(self.phone)
            sent = yield from self.world.spend(self.phone, size / self.phone.up)
        if not sent:
            counts["lost"] += 1
            return
        with receiver.down.request() as link:
            yield link
            if not self.world.is_online(receiver.phone):
                if self.world.offline == "refuse":
                    counts["refused"] += 1
                    self.call("refused", message)
                    return
                if self.world.offline == "lose":
                    counts["lost"] += 1
                    return
                yield from self.world.come_online(receiver.phone)
            arrived = yield from self.world.spend(receiver.phone, size / receiver.phone.down)
        if not arrived:
            counts["lost"] += 1
            return
        counts["delivered"] += 1
        receiver.take(message)

    def take(self, message: int) -> None:
        awaited = self.world.gathers.get((self.number, message), 0)
        if not awaited:
            self.call("message", message)
            return
        self.gathered[message] = self.gathered.get(message, 0) + 1
        if self.gathered[message] == awaited:
            self.gathered[message] = 0
            self.call("gathered", message)


def simulate(
    phones: list[Phone],
    script: dict[tuple[int, int], Act],
    strict: bool,
    offline: str,
    gathers: dict[tuple[int, int], int],
    until: float,
) -> tuple[list[tuple[float, int, str, int]], dict[str, int]]:
    """(second, actor, what, round) of every handler that has ended, by its beginning; and the counts of messages."""
    world = World(simpy.Environment(), phones, script, strict, offline, gathers)
    actors: list[Simulated] = []
    for number in range(len(phones)):
        actors.append(Simulated(world, number, actors))
    world.env.run(until)
    return world.log, world.counts
