"""Cells where participants begin one after the other: one cell is a server's link, and cells do not touch each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.clock.cells import Cells
from mpifl.clock.latency import Latency
from mpifl.clock.policies.async_ import Async
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.semisync import Semisync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import Call, ClockState, Outcome
from mpifl.errors import InputError
from mpifl.population.population import Population
from tests.asking import uniform
from tests.clock.conftest import WORK
from tests.makers import PopulationOf

LIMITS: dict[str, Any] = {"down_kbps": 9.0, "up_kbps": 5.0}
SERVER = Latency(server_down_kbps=9.0, server_up_kbps=5.0)
CLIENTS = 24
SEED = 3
POLICIES = [
    Buffered(concurrency=7),
    Buffered(concurrency=7, availability="resume"),
    Async(concurrency=5),
    Semisync(concurrency=9, window_seconds=4.0),
]
NAMES = ["buffered", "buffered, resume", "async", "semisync"]
EXACT = 1e-9


@pytest.fixture(scope="module")
def population(population_of: PopulationOf) -> Population:
    random = np.random.default_rng(4)
    columns = random.uniform((20, 4, 4, 20), (200, 12, 12, 60), (CLIENTS, 4)).tolist()
    return population_of(
        [{"ms": ms, "down": down, "up": up, "slots": [(0, cut)]} for ms, down, up, cut in columns]
    )


def call_of(
    population: Population, updates: int, number: int, among: np.ndarray | None = None
) -> Call:
    def lowest(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        found = np.sort(uniform(population, now, CLIENTS, 1, draw, busy))
        return (found if among is None else np.intersect1d(found, among))[:wanted]

    return Call(updates, lowest, population, WORK, SEED, round=number)


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert len(ours) == len(theirs)
    for name in ours.dtype.names or ():
        assert ours[name] == pytest.approx(theirs[name], rel=EXACT, abs=EXACT), name


@pytest.mark.parametrize("policy", POLICIES, ids=NAMES)
def test_one_cell_is_the_link_of_a_server(population: Population, policy: RoundPolicy) -> None:
    """The oracle is the shared server link, which event simulations of its own judge."""
    updates = 1 if policy.mode == "async" else 3
    one = policy.model_copy(update={"latency": Latency(cells={"number": 1, **LIMITS})})
    server = policy.model_copy(update={"latency": SERVER})
    states = [ClockState(), ClockState()]
    ended = 0
    for number in range(1, 15):
        call = call_of(population, updates, number)
        made = [p.advance(s, call) for p, s in zip((one, server), states, strict=True)]
        states = [after for _, after in made]
        ours, theirs = (timeline.participants for timeline, _ in made)
        assert_alike(ours, theirs)
        assert made[0][0].end_seconds == pytest.approx(made[1][0].end_seconds, rel=EXACT)
        assert states[0].flights["client"].tolist() == states[1].flights["client"].tolist()
        ended += len(ours)
    assert ended > 10


def test_cells_do_not_touch_each_other(population: Population) -> None:
    """Windows of one server for the clients of each cell are those of the cells together."""
    cells = Cells(number=3, **LIMITS).of(np.arange(CLIENTS), SEED)
    policy = Semisync(
        concurrency=CLIENTS, window_seconds=3.0, latency=Latency(cells={"number": 3, **LIMITS})
    )
    servers = policy.model_copy(update={"latency": SERVER})
    whole, alone = ClockState(), [ClockState()] * 3
    for number in range(1, 8):
        timeline, whole = policy.advance(whole, call_of(population, 1, number))
        own = []
        for cell in range(3):
            call = call_of(population, 1, number, np.flatnonzero(cells == cell))
            part, alone[cell] = servers.advance(alone[cell], call)
            own.append(part.participants)
        # Versions are those of the whole: who came from which is not compared.
        names = ["client", "outcome", "start_seconds", "stop_seconds", "bytes_up", "bytes_down"]
        ours = np.sort(timeline.participants[names], order="client")
        theirs = np.sort(np.concatenate(own)[names], order="client")
        assert_alike(ours, theirs)
    assert timeline.end_seconds == 21.0


def test_who_begins_in_a_cell_slows_down_those_who_are_there(population_of: PopulationOf) -> None:
    """1,000 bytes at 8 kbit/s are 1 s, training is 3 s; a cell has 8 kbit/s up."""
    phones: list[dict[str, Any]] = [{} for _ in range(CLIENTS)]
    population = population_of(phones, 1000.0)
    cells = Cells(number=2, up_kbps=8.0).of(np.arange(CLIENTS), SEED)
    here, there = np.flatnonzero(cells == 0), np.flatnonzero(cells == 1)
    order = np.array([here[0], there[0], here[1], here[2]])

    def listed(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return order[~np.isin(order, busy)][:wanted]

    policy = Buffered(concurrency=3, latency=Latency(cells={"number": 2, "up_kbps": 8.0}))
    call = Call(4, listed, population, WORK, SEED)
    rows = policy.advance(ClockState(), call)[0].participants
    # The one elsewhere is done at 5 s; the two in one cell upload from 4 to 6 s; the last, which
    # begins at 5 s, has the cell to itself.
    assert rows["client"].tolist() == [there[0], *sorted([here[0], here[1]]), here[2]]
    assert rows["stop_seconds"] == pytest.approx([5.0, 6.0, 6.0, 10.0])
    assert (rows["outcome"] == Outcome.COMPLETED).all()


def test_a_target_needs_to_know_who_will_finish() -> None:
    latency = Latency(cells={"number": 3, **LIMITS})
    policy = Semisync(concurrency=3, window_seconds=5.0, target=2, latency=latency)
    with pytest.raises(InputError, match=r"clock\.target: 2 is not allowed with a bandwidth"):
        policy.check()
    policy.model_copy(update={"target": None}).check()
