"""Asynchronous rounds whose participants cost what is known only when they have been trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.clock.latency import Latency
from mpifl.clock.policies.async_ import Async
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.semisync import Semisync
from mpifl.clock.settlement import Costs
from mpifl.clock.timeline import Call, ClockState
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.population.population import Population
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.state.checkpoint import read_checkpoint, write_checkpoint
from mpifl.traces.trace import Trace
from tests.asking import uniform

WORK = Workload(bytes_down=1000, bytes_up=5000, batch_size=10, epochs=4, local_steps=None)
LINK = {"latency": Latency(server_down_kbps=300.0, server_up_kbps=200.0)}
POLICIES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "buffered": (Buffered, {"concurrency": 60}, 10),
    "too few online": (Buffered, {"concurrency": 300, "availability": "resume"}, 10),
    "fedscale": (Buffered, {"concurrency": 60, "availability": "fedscale"}, 10),
    "on a link": (Buffered, {"concurrency": 50, **LINK}, 10),
    "async": (Async, {"concurrency": 60}, 1),
    "stale": (Async, {"concurrency": 60, "max_staleness": 30}, 1),
    "semisync": (Semisync, {"concurrency": 60, "window_seconds": 20.0}, 1),
    "target": (Semisync, {"concurrency": 60, "window_seconds": 9.0, "target": 20}, 1),
}
ROUNDS = 10


@pytest.fixture(scope="module")
def people(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    random = np.random.default_rng(3)
    speeds = {name: random.uniform(4, 40, 30).tolist() for name in ("download_kbps", "upload_kbps")}
    slots = [[(a, a + 34)] for a in random.uniform(0, 66, 90)]
    trace = make_trace(slots, 100.0, compute_ms_per_sample=[100.0] * 30, **speeds)
    return make_population(make_dataset([3, 9, 14]), trace, clients=400)


def nobody(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
    return np.empty(0, np.int64)


def declared(rows: np.ndarray) -> Costs:
    return Costs(rows["steps"], rows["load_up"])


def less(rows: np.ndarray) -> Costs:
    """What a client does, said by its number, the round in which it began and its base, as training does."""
    costs = declared(rows)
    drawn = [
        np.random.default_rng([*keys.tolist()]).random(2)
        for keys in rows[["client", "began", "base"]]
    ]
    part = np.array(drawn).reshape(-1, 2)
    return Costs(
        1 + (part[:, 0] * costs.steps).astype(int), 1 + (part[:, 1] * costs.loads).astype(int)
    )


class Making:
    """Rounds on end; ``asked`` are how many were to be trained at once, in each stop for that."""

    def __init__(
        self,
        people: Population,
        name: str,
        costs: str = "measured",
        done: Callable[[np.ndarray], Costs | None] = less,
        **keys: Any,
    ):
        kind, own, self.participants = POLICIES[name]
        self.policy = kind(costs=costs, **own)
        self.people, self.done = people, done
        self.asked: list[int] = []

    def round(self, state: ClockState, number: int) -> Any:
        def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
            return uniform(self.people, now, wanted, 7, draw, busy)

        call = Call(self.participants, choose, self.people, WORK, round=number)
        making = self.policy.settlement(state, call)
        try:
            rows = next(making)
            while True:
                self.asked.append(len(rows))
                rows = making.send(self.done(rows))
        except StopIteration as end:
            return end.value

    def rounds(self) -> Iterator[Any]:
        state = ClockState()
        for number in range(1, ROUNDS + 1):
            timeline, state = self.round(state, number)
            rows = timeline.participants.copy()
            yield (
                timeline.start_seconds,
                timeline.end_seconds,
                timeline.waited_seconds,
                rows,
                state,
            )


def told(rounds: Any, *without: str) -> list[Any]:
    """All that rounds came to, but for some fields of their participants."""
    values = []
    for *times, rows, state in rounds:
        names = [name for name in rows.dtype.names if name not in without]
        values.append(
            (times, rows[names].tolist(), state.draws, state.version, state.clients.tolist())
        )
    return values


@pytest.mark.parametrize("name", POLICIES)
def test_who_does_what_was_declared_changes_nothing(people: Population, name: str) -> None:
    one = told(Making(people, name, "declared").rounds(), "measured")
    assert told(Making(people, name, done=declared).rounds(), "measured") == one
    assert told(Making(people, name, done=lambda rows: None).rounds(), "measured") == one
    assert told(Making(people, name).rounds(), "measured") != one


@pytest.mark.parametrize("name", POLICIES)
def test_who_is_trained_late_lands_as_if_it_had_been_trained_when_it_began(
    people: Population, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Making(people, name)
    found = told(late.rounds())
    kind = POLICIES[name][0]
    monkeypatch.setattr(kind, "earliest_stops", lambda self, call, rows: rows["start_seconds"])
    at_once = Making(people, name)
    assert told(at_once.rounds()) == found
    assert len(at_once.asked) >= len(late.asked)
    if name in ("buffered", "async"):  # where training can wait, it waits for company
        assert max(late.asked[1:]) > max(at_once.asked[1:])


@pytest.mark.parametrize("name", POLICIES)
def test_nobody_stops_before_the_moment_that_was_promised(people: Population, name: str) -> None:
    making = Making(people, name)
    rows = making.policy.launch(Call(1, nobody, people, WORK), np.arange(400), 20.0, 0, 1)
    earliest = making.policy.earliest_stops(Call(1, nobody, people, WORK), rows)
    measured = making.policy.as_measured(Call(1, nobody, people, WORK), rows, less(rows))
    assert (earliest <= measured["stop_seconds"]).all()
    assert (earliest >= rows["start_seconds"]).all()


@pytest.mark.parametrize("name", POLICIES)
def test_who_is_under_way_and_not_trained_yet_goes_on_from_a_file(
    people: Population, name: str, tmp_path: Path
) -> None:
    making, state, rounds = Making(people, name), ClockState(), []
    for number in range(1, ROUNDS + 1):
        path = write_checkpoint(tmp_path, Snapshot(rounds_done=number, clock=state))
        again = making.round(read_checkpoint(path).clock, number)
        timeline, state = making.round(state, number)
        assert timeline.participants.tolist() == again[0].participants.tolist()
        assert state.flights.tolist() == again[1].flights.tolist()
        rounds.append(state.flights["measured"])
    if name == "async":
        assert any((flags == 0).any() and (flags == 1).any() for flags in rounds)


def test_a_target_counts_those_who_are_not_trained_yet(
    people: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With long downloads they may come in the window, but after others who are trained."""
    slow = Workload(bytes_down=20000, bytes_up=500, batch_size=10, epochs=1, local_steps=None)
    monkeypatch.setitem(globals(), "WORK", slow)
    keys = {"concurrency": 60, "window_seconds": 5.0, "target": 5}
    monkeypatch.setitem(POLICIES, "target", (Semisync, keys, 1))
    one = told(Making(people, "target", "declared").rounds(), "measured")
    assert told(Making(people, "target", done=declared).rounds(), "measured") == one


def test_versions_of_those_who_may_still_complete_are_kept(people: Population) -> None:
    making, state = Making(people, "async"), ClockState()
    for number in range(1, ROUNDS + 1):
        kept = set(making.policy.bases(state).tolist())
        timeline, state = making.round(state, number)
        came = timeline.participants[timeline.participants["outcome"] == 0]
        assert set(came["base"].tolist()) <= kept | {number - 1}
