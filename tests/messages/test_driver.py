"""The driver's events against a simulation in SimPy, on random phones, messages and timers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.clock.cost import Cost
from mpifl.clock.kernels.latency import AVAILABILITY, Rates
from mpifl.clock.latency import Latency
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.messages.driver import Driver
from mpifl.messages.events import events_json, events_of
from mpifl.messages.letter import Effects, Handling, Letter
from mpifl.messages.links import Links
from mpifl.protocols.actor import Event
from mpifl.protocols.protocol import Protocol
from tests.budget import examples
from tests.makers import PopulationOf
from tests.messages.simulated import TOLD, Act, Air, Phone, simulate

HELD = 10
PERIOD = 100.0
DEPTH = 4
SEED = 1
SERVER_SECONDS = 2.0


class Scripted(Protocol):
    """A protocol whose handlers do what a script says; the round is the line of the script."""

    name: str = "scripted"
    own_servers: int = 0

    def servers(self, population: Any) -> int:
        return self.own_servers

    def server_seconds(self, server: int, event: Event, setting: Any) -> float:
        return (
            0.0 if event.what in TOLD else SERVER_SECONDS * setting[0][server, event.round].training
        )

    def awaited(self, actor: int, kind: str, round_number: int, setting: Any) -> int:
        return setting[1].get((actor, round_number), 0)

    def cost(self, actor: int, event: Event, setting: Any) -> Cost:
        return Cost(training=setting[0][actor, event.round].training)


def script_of(random: np.random.Generator, actors: int) -> dict[tuple[int, int], Act]:
    """What each actor does in each of the rounds 0 to DEPTH - 1; all that it causes is in later rounds."""
    script = {}
    for actor in range(actors):
        for number in range(DEPTH):
            sends = []
            timers = []
            if number + 1 < DEPTH:
                for _ in range(random.integers(3)):
                    to = int(random.choice([other for other in range(actors) if other != actor]))
                    later = int(random.integers(number + 1, DEPTH))
                    sends.append((to, later, int(random.integers(1, 20_000))))
                if random.random() < 0.4:
                    seconds = float(random.choice([0.0, random.uniform(0.1, 50)]))
                    timers.append((seconds, int(random.integers(number + 1, DEPTH))))
            training = float(random.choice([0.0, random.uniform(0.1, 3)]))
            script[actor, number] = Act(training, sends, timers)
    return script


def driven(
    population: Any,
    script: dict[tuple[int, int], Act],
    rule: str,
    offline: str,
    gathers: dict[tuple[int, int], int],
    until: float,
    latency: Latency | None = None,
    servers: int = 0,
    saved_every: int = 0,
) -> tuple[list[tuple[float, int, str, int]], dict[str, int]]:
    """What the driver makes of a script, as ``simulate`` returns it.

    With ``saved_every`` it is put into a checkpoint and taken from there after so many events.
    """
    protocol = Scripted(offline=offline, own_servers=servers)
    work = Workload(bytes_down=0, bytes_up=0, batch_size=HELD, epochs=1, local_steps=None)
    latency = latency or Latency()
    rates = Rates(3.0, 1000.0, latency.round_trip_ms / 1000, math.inf, 1.0)
    setting = (script, gathers)
    kind = AVAILABILITY[rule]
    links = Links(population, protocol, setting, work, kind, rates, latency, 0.0, SEED)
    log: list[tuple[float, int, str, int, int]] = []
    sent: dict[int, int] = {}

    def execute(handlings: Sequence[Handling], dropped: Sequence[Letter]) -> list[Effects]:
        done = []
        for handling in handlings:
            event = handling.event
            log.append((handling.now, handling.actor, event.what, event.round, handling.number))
            act = script[handling.actor, event.round]
            if event.what in TOLD:
                act = Act(0.0, [], [])
            letters = []
            for to, number, size in act.sends:
                place = sent.get(handling.actor, 0)
                sent[handling.actor] = place + 1
                letters.append(Letter(handling.actor, place, to, "m", number, size, {}, {}))
            timers = tuple((seconds, "t", number) for seconds, number in act.timers)
            done.append(Effects(handling.number, tuple(letters), timers, (), 0, 0, math.nan))
        return done

    actors = population.clients + servers
    driver = Driver(links, actors, 1, execute)
    driver.start()
    while driver.events.heap and driver.events.heap[0][0] < until:
        driver.take_next()
        if saved_every and driver.events.taken % saved_every == 0:
            saved = json.dumps(events_json(driver.events))
            driver = Driver(links, actors, 1, execute, events_of(json.loads(saved)))
    left = {one.number for one in driver.events.begun} | set(driver.events.effects)
    ended = [entry[:4] for entry in log if entry[4] not in left]
    counts = vars(driver.events.ledger.counts)
    return ended, {name: counts[name] for name in ("sent", "delivered", "lost", "refused")}


@pytest.mark.parametrize("offline", ["wait", "lose", "refuse"])
@pytest.mark.parametrize("rule", ["strict", "resume"])
@examples(60)
@given(seed=st.integers(0, 2**32))
def test_handlers_begin_when_they_do_in_a_simulation(
    population_of: PopulationOf, rule: str, offline: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    actors = int(random.integers(2, 7))
    phones = phones_of(random, actors)
    script = script_of(random, actors)
    gathers = gathers_of(random, actors)
    until = 2000.0
    found = driven(population_of(phones, PERIOD, HELD), script, rule, offline, gathers, until)
    simulated = simulate(simulated_of(phones), script, rule == "strict", offline, gathers, until)
    assert_alike(found, simulated)


def phones_of(random: np.random.Generator, actors: int) -> list[dict[str, Any]]:
    phones: list[dict[str, Any]] = []
    for _ in range(actors):
        borders = np.sort(random.uniform(0, PERIOD, 4)).tolist()
        slots = (
            [(0.0, PERIOD)]
            if random.random() < 0.3
            else [(borders[0], borders[1]), (borders[2], borders[3])]
        )
        phones.append(
            {
                "slots": slots,
                "ms": float(random.uniform(10, 2000)),
                "down": float(random.uniform(1, 50)),
                "up": float(random.uniform(1, 50)),
            }
        )
    return phones


def gathers_of(random: np.random.Generator, actors: int) -> dict[tuple[int, int], int]:
    """Who waits for several messages of the last round, and for how many."""
    return {
        (actor, DEPTH - 1): int(random.integers(2, 4))
        for actor in range(actors)
        if random.random() < 0.5
    }


def simulated_of(phones: list[dict[str, Any]]) -> list[Phone]:
    return [
        Phone(
            phone["slots"],
            PERIOD,
            phone["up"] * 125,
            phone["down"] * 125,
            3 * HELD * phone["ms"] / 1000,
        )
        for phone in phones
    ]


Told = tuple[list[tuple[float, int, str, int]], dict[str, int]]


def assert_alike(driver: Told, simulation: Told) -> None:
    found, found_counts = driver
    expected, counts = simulation
    assert found_counts == counts
    assert sorted(entry[1:] for entry in found) == sorted(entry[1:] for entry in expected)

    def by_actor(log: list[tuple[float, int, str, int]]) -> list[tuple[int, float, str, int]]:
        return sorted((actor, second, what, number) for second, actor, what, number in log)

    for one, other in zip(by_actor(found), by_actor(expected), strict=True):
        assert one[0] == other[0]
        assert one[1] == pytest.approx(other[1], rel=1e-9, abs=1e-9)


FOREVER = Phone([(0.0, PERIOD)], PERIOD, math.inf, math.inf, SERVER_SECONDS)


def latency_of(random: np.random.Generator, shares: str) -> Latency:
    """Random keys of links; at least one direction of a shared bandwidth has a limit."""
    limits = [float(random.uniform(1, 60)), float(random.uniform(1, 60))]
    kept = int(random.integers(1, 4))
    down, up = (limit if kept & bit else None for limit, bit in zip(limits, (1, 2), strict=True))
    retry = {"broken_share": 0.4, "wait_seconds": 2.5, "resume": bool(random.integers(2))}
    keys: dict[str, Any] = {
        "round_trip_ms": float(random.choice([0.0, 300.0])),
        "update_seconds": float(random.choice([0.0, 1.7])),
        "retry": retry if random.random() < 0.5 else {},
    }
    if shares == "server":
        keys |= {"server_down_kbps": down, "server_up_kbps": up}
    else:
        keys["cells"] = {"number": 2, "down_kbps": down, "up_kbps": up}
    return Latency(**keys)


def air_of(latency: Latency, clients: int) -> Air:
    cells = latency.cells
    shared = cells if cells.number else latency
    prefix = "" if cells.number else "server_"
    limits = [getattr(shared, f"{prefix}{way}_kbps") for way in ("down", "up")]

    def pipe(actor: int, peer: int, direction: int) -> int | None:
        if limits[direction] is None:
            return None
        if cells.number:
            return int(cells.of(np.array([actor]), SEED)[0])
        return peer if peer >= clients else None

    connect = latency.round_trip_ms / 1000

    def attempts(sender: int, number: int, direction: int, size: int) -> tuple[int, float]:
        return latency.retry.of_message(SEED, sender, number, direction, size, connect)

    down, up = (math.inf if limit is None else limit * 125 for limit in limits)
    return Air(pipe, (down, up), attempts, connect, latency.update_seconds)


@pytest.mark.parametrize("offline", ["wait", "lose", "refuse"])
@pytest.mark.parametrize("rule", ["strict", "resume"])
@pytest.mark.parametrize("shares", ["server", "cells"])
@examples(60)
@given(seed=st.integers(0, 2**32))
def test_transfers_that_share_a_bandwidth_end_when_they_do_in_a_simulation(
    population_of: PopulationOf, shares: str, rule: str, offline: str, seed: int
) -> None:
    """Servers too, each with a link of its own; taken from checkpoints the bits are the same."""
    random = np.random.default_rng(seed)
    clients = int(random.integers(2, 7))
    servers = int(random.integers(1, 3))
    phones = phones_of(random, clients)
    script = script_of(random, clients + servers)
    for (actor, _), act in script.items():
        if actor >= clients:
            act.training = float(random.uniform(0.1, 3))  # no two send at the same moment
    gathers = gathers_of(random, clients + servers)
    latency = latency_of(random, shares)
    population = population_of(phones, PERIOD, HELD)
    asked = (population, script, rule, offline, gathers, 2000.0, latency, servers)

    found = driven(*asked)
    everybody = simulated_of(phones) + [FOREVER] * servers
    air = air_of(latency, clients)
    strict = rule == "strict"
    assert_alike(found, simulate(everybody, script, strict, offline, gathers, 2000.0, air, servers))
    assert driven(*asked, saved_every=7) == found


class Ahead(Protocol):
    """A protocol: actor 0 sends the messages of all rounds at once, actor 1 begins a round every ten seconds."""

    in_order: ClassVar[bool] = True

    name: str = "ahead"

    def awaited(self, actor: int, kind: str, round_number: int, setting: Any) -> int:
        return 1


def test_messages_of_a_round_wait_until_their_receiver_is_in_it(
    population_of: PopulationOf,
) -> None:
    population = population_of([{"down": 1e9, "up": 1e9}, {"down": 1e9, "up": 1e9}])
    work = Workload(bytes_down=0, bytes_up=0, batch_size=HELD, epochs=1, local_steps=None)
    rates = Rates(3.0, 1000.0, 0.0, math.inf, 1.0)
    links = Links(population, Ahead(), None, work, AVAILABILITY["always"], rates, Latency(), 0.0, 1)
    log = []

    def execute(handlings: Sequence[Handling], dropped: Sequence[Letter]) -> list[Effects]:
        done = []
        for handling in handlings:
            event = handling.event
            letters: tuple[Letter, ...] = ()
            timers: tuple[tuple[float, str, int], ...] = ()
            if event.what == "start" and handling.actor == 0:
                letters = tuple(Letter(0, n, 1, "m", 3 - n, 1, {}, {}) for n in range(3))
            if event.what == "start" and handling.actor == 1:
                timers = tuple((10.0 * number, "t", number) for number in (1, 2, 3))
            if handling.actor == 1 and event.what != "start":
                log.append((round(handling.now, 6), event.what, event.round))
            done.append(Effects(handling.number, letters, timers, (), 0, 0, math.nan))
        return done

    driver = Driver(links, 2, 1, execute)
    driver.start()
    while driver.events.heap:
        driver.take_next()
    assert log == [
        (seconds, what, number)
        for number, seconds in ((1, 10.0), (2, 20.0), (3, 30.0))
        for what in ("timer", "gathered")
    ]


@pytest.mark.parametrize(
    ("reporters", "said"),
    [
        ((), "'silent': in round 1 10,001 handlers have run and nobody"),
        ((1,), "'silent': in round 1 10,00[12] handlers have run since the last report and nobody"),
    ],
)
def test_a_protocol_in_which_not_all_report_is_an_error(
    population_of: PopulationOf, reporters: tuple[int, ...], said: str
) -> None:
    population = population_of([{}, {}])
    work = Workload(bytes_down=0, bytes_up=0, batch_size=HELD, epochs=1, local_steps=None)
    rates = Rates(3.0, 1000.0, 0.0, math.inf, 1.0)
    links = Links(
        population,
        Protocol(name="silent"),
        None,
        work,
        AVAILABILITY["always"],
        rates,
        Latency(),
        0.0,
        1,
    )

    def execute(handlings: Sequence[Handling], dropped: Sequence[Letter]) -> list[Effects]:
        return [
            Effects(
                one.number,
                (),
                ((1.0, "again", 1),),
                (1,) if one.event.what == "start" and one.actor in reporters else (),
                0,
                0,
                math.nan,
            )
            for one in handlings
        ]

    driver = Driver(links, 2, 2, execute)
    driver.start()
    with pytest.raises(InputError, match=said):
        driver.next_round(lambda: driver.events.handlings > 30_000)
