"""What the clock carries from round to round: a value that can be gone on from at any time, from a file too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.clock.in_flight import Independent
from mpifl.clock.latency import Latency
from mpifl.clock.policies.async_ import Async
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.semisync import Semisync
from mpifl.clock.timeline import PARTICIPANT, Call, ClockState
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.population.population import Population
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.state.checkpoint import read_checkpoint, write_checkpoint
from mpifl.traces.trace import Trace
from tests.asking import uniform

WORK = Workload(bytes_down=1000, bytes_up=1000, batch_size=10, epochs=1, local_steps=None)
LINK = Latency(server_down_kbps=300.0, server_up_kbps=200.0)
# Of 400 clients about 130 are online at a time; clocks that want more of them under way than there are, or fewer.
POLICIES = {
    "buffered": (Buffered(concurrency=60), 10),
    "buffered, too few online": (Buffered(concurrency=300, availability="resume"), 10),
    "buffered, fedscale": (Buffered(concurrency=300, availability="fedscale"), 10),
    "buffered on a link": (Buffered(concurrency=50, latency=LINK), 10),
    "buffered on a link, too few online": (
        Buffered(concurrency=300, availability="resume", latency=LINK),
        10,
    ),
    "async, too few online": (Async(concurrency=300), 1),
    "semisync": (Semisync(concurrency=300, window_seconds=20.0), 1),
}


Advance = Callable[..., tuple[ClockState, tuple[Any, ...]]]


@pytest.fixture
def people_of(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Callable[[], Population]:
    """people_of(): a population that has been asked nothing before."""

    def make() -> Population:
        random = np.random.default_rng(3)
        starts = random.uniform(0, 66, 90)
        speeds = {
            name: random.uniform(4, 40, 30).tolist() for name in ("download_kbps", "upload_kbps")
        }
        trace = make_trace(
            [[(a, a + 34)] for a in starts], 100.0, compute_ms_per_sample=[100.0] * 30, **speeds
        )
        return make_population(make_dataset([3, 9, 14]), trace, clients=400)

    return make


@pytest.fixture
def advance(people_of: Callable[[], Population]) -> Advance:
    """advance(state, name): a round, by a population of its own unless one is given."""

    def make(
        state: ClockState, name: str, people: Population | None = None
    ) -> tuple[ClockState, tuple[Any, ...]]:
        (policy, participants), people = POLICIES[name], people or people_of()

        def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
            return uniform(people, now, wanted, 7, draw, busy)

        timeline, after = policy.advance(state, Call(participants, choose, people, WORK))
        values = (
            timeline.start_seconds,
            timeline.end_seconds,
            timeline.waited_seconds,
            timeline.participants.tolist(),
        )
        carried = (
            after.now,
            after.version,
            after.draws,
            after.flights.tolist(),
            after.flows.tolist(),
        )
        return after, (*values, *carried, after.clients.tolist())

    return make


@pytest.mark.parametrize("name", POLICIES)
def test_rounds_do_not_depend_on_what_was_asked_before_or_on_where_the_state_has_been(
    advance: Advance, people_of: Callable[[], Population], tmp_path: Path, name: str
) -> None:
    people, state = people_of(), ClockState()
    states, found = [state], []
    for _ in range(12):  # on and on, as a run does
        state, values = advance(state, name, people)
        states.append(state)
        found.append(values)
    assert sum(len(values[3]) for values in found) > 10
    for number in (
        3,
        8,
        0,
        11,
    ):  # any of the states again, as after the loss of a rank: with what is known, and with nothing
        assert advance(states[number], name, people)[1] == found[number]
        assert advance(states[number], name)[1] == found[number]
        path = write_checkpoint(tmp_path, Snapshot(rounds_done=number + 1, clock=states[number]))
        assert advance(read_checkpoint(path).clock, name)[1] == found[number]
    assert states[5].clients.tolist() == sorted(states[5].flights["client"].tolist())


def test_those_under_way_are_in_the_order_in_which_they_stop(advance: Advance) -> None:
    state = ClockState()
    for _ in range(8):
        state, _ = advance(state, "buffered")
        assert (
            state.flights.tolist()
            == np.sort(state.flights, order=["stop_seconds", "client"]).tolist()
        )


@pytest.mark.parametrize("seed", range(20))
def test_of_those_who_stop_at_once_the_smaller_client_lands_first(seed: int) -> None:
    random = np.random.default_rng(seed)

    def flights(clients: np.ndarray) -> np.ndarray:
        rows = np.zeros(len(clients), PARTICIPANT)
        rows["client"], rows["stop_seconds"] = clients, random.integers(0, 4, len(clients))
        rows["stop_seconds"][random.random(len(clients)) < 0.1] = np.inf
        return rows

    clients = random.permutation(60)
    earlier = np.sort(flights(clients[:40]), order=["stop_seconds", "client"])
    kept, in_flight, landed = earlier.copy(), Independent(ClockState(flights=earlier)), []
    begun = flights(clients[40:])
    for row in begun:
        in_flight.add(np.array([row]))
    for _ in range(random.integers(0, 30)):
        row = in_flight.land(3.0)
        if row is not None:
            row["outcome"] = 2
            landed.append(int(row["client"]))
    everyone = np.sort(np.concatenate([kept, begun]), order=["stop_seconds", "client"])
    assert landed == everyone["client"][: len(landed)].tolist()
    assert in_flight.rest(0.0)[0].tolist() == everyone[len(landed) :].tolist()
    assert len(in_flight) == 60 - len(landed)
    assert earlier.tolist() == kept.tolist()  # a state never changes
