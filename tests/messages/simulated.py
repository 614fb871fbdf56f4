"""Actors in SimPy: what ``mpifl.messages.driver`` computes, simulated by processes that share no code with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
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
class Air:
    """What a transfer takes besides the phone's own speed.

    ``pipe`` says which bandwidth it shares (actor, peer, direction: 0 down, 1 up), ``capacity`` how many bytes a second
    that has down and up, ``attempts`` what a message carries in all and how long it waits (sender, number, direction,
    size), ``connect`` the seconds of a connection, and ``handling`` those that a server takes for a message of a client.
    """

    pipe: Callable[[int, int, int], int | None] = lambda actor, peer, direction: None
    capacity: tuple[float, float] = (float("inf"), float("inf"))
    attempts: Callable[[int, int, int, int], tuple[int, float]] = lambda s, n, d, size: (size, 0.0)
    connect: float = 0.0
    handling: float = 0.0


@dataclass
class Flow:
    left: float
    speed: float
    done: simpy.Event
    rate: float = 0.0
    paused: bool = False


class Pipe:
    """A bandwidth that flows share fairly: none gets less than another one, unless it cannot take more."""

    def __init__(self, env: simpy.Environment, capacity: float) -> None:
        self.env, self.capacity = env, capacity
        self.flows: list[Flow] = []
        self.since = 0.0
        self.alarm = 0

    def settle(self) -> None:
        """Count what was carried, set the rates anew, and come back when the next flow ends."""
        for flow in self.flows:
            flow.left -= flow.rate * (self.env.now - self.since)
        self.since = self.env.now
        for flow in [flow for flow in self.flows if flow.left <= 1e-7]:
            self.flows.remove(flow)
            flow.done.succeed()
        going = sorted((flow for flow in self.flows if not flow.paused), key=lambda one: one.speed)
        left = self.capacity
        for place, flow in enumerate(going):
            flow.rate = min(flow.speed, left / (len(going) - place))
            left -= flow.rate
        self.alarm += 1
        if going:
            self.env.process(self.ring(min(flow.left / flow.rate for flow in going), self.alarm))

    def ring(self, seconds: float, alarm: int) -> Generator[simpy.Event]:
        yield self.env.timeout(seconds)
        if alarm == self.alarm:
            self.settle()

    def set_paused(self, flow: Flow, paused: bool) -> None:
        self.settle()
        flow.paused, flow.rate = paused, 0.0
        self.settle()

    def leave(self, flow: Flow) -> None:
        self.settle()
        if flow in self.flows:
            self.flows.remove(flow)
            self.settle()

    def join(self, size: float, speed: float) -> Flow:
        flow = Flow(size, speed, self.env.event())
        self.settle()
        self.flows.append(flow)
        self.settle()
        return flow


@dataclass
class World:
    env: simpy.Environment
    phones: list[Phone]
    script: dict[tuple[int, int], Act]
    strict: bool
    offline: str
    gathers: dict[tuple[int, int], int]
    air: Air
    clients: int
    pipes: dict[tuple[int, int], Pipe] = field(default_factory=dict)
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

    def transfer(
        self, actor: int, peer: int, direction: int, sender: int, number: int, size: int
    ) -> Generator[simpy.Event, Any, bool]:
        """Carry a message over the link of an actor that is online; returns whether it got through."""
        phone = self.phones[actor]
        speed = phone.down if direction == 0 else phone.up
        if actor >= self.clients:
            return True
        size, wait = self.air.attempts(sender, number, direction, size)
        begun = yield from self.spend(phone, self.air.connect + wait)
        if not begun:
            return False
        pipe = self.air.pipe(actor, peer, direction)
        if pipe is None:
            done = yield from self.spend(phone, size / speed)
            return done
        return (yield from self.share(pipe, direction, phone, size, speed))

    def share(
        self, number: int, direction: int, phone: Phone, size: int, speed: float
    ) -> Generator[simpy.Event, Any, bool]:
        pipe = self.pipes.setdefault(
            (number, direction), Pipe(self.env, self.air.capacity[direction])
        )
        flow = pipe.join(size, speed)
        while True:
            yield flow.done | self.env.timeout(self.until_change(phone))
            if flow.done.triggered:
                return True
            if self.is_online(phone):
                continue
            if self.strict:
                pipe.leave(flow)
                return False
            pipe.set_paused(flow, True)
            yield from self.come_online(phone)
            pipe.set_paused(flow, False)


class Simulated:
    """One actor: a process that takes calls from its inbox one by one, an upload and a download."""

    def __init__(self, world: World, number: int, all_actors: list[Simulated]) -> None:
        self.world, self.number, self.others = world, number, all_actors
        self.phone = world.phones[number]
        self.up = simpy.Resource(world.env)
        self.down = simpy.Resource(world.env)
        self.inbox: deque[tuple[str, int]] = deque([("start", 0)])
        self.gathered: dict[int, int] = {}
        self.sent = 0
        self.hands = simpy.Resource(world.env)
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
                self.world.env.process(self.carry(to, message, size, self.sent))
                self.sent += 1
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

    def carry(self, to: int, message: int, size: int, count: int) -> Generator[simpy.Event]:
        receiver = self.others[to]
        counts = self.world.counts
        with self.up.request() as link:
            yield link
            yield from self.world.come_online(self.phone)
            sent = yield from self.world.transfer(self.number, to, 1, self.number, count, size)
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
            arrived = yield from self.world.transfer(to, self.number, 0, self.number, count, size)
        if not arrived:
            counts["lost"] += 1
            return
        counts["delivered"] += 1
        if self.world.air.handling and self.number < self.world.clients <= to:
            with receiver.hands.request() as hands:
                yield hands
                yield self.world.env.timeout(self.world.air.handling)
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
    air: Air | None = None,
    servers: int = 0,
) -> tuple[list[tuple[float, int, str, int]], dict[str, int]]:
    """(second, actor, what, round) of every handler that has ended, by its beginning; and the counts of messages."""
    clients = len(phones) - servers
    world = World(
        simpy.Environment(), phones, script, strict, offline, gathers, air or Air(), clients
    )
    actors: list[Simulated] = []
    for number in range(len(phones)):
        actors.append(Simulated(world, number, actors))
    world.env.run(until)
    return world.log, world.counts
