"""Clients with pinned rows: the clock against the same phones dealt from a trace that is sorted so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from mpifl.clock.latency import Latency
from mpifl.clock.online import OnlineIndex
from mpifl.clock.policies.async_ import Async
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import Call, ClockState
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.kernels.permutation import permuted
from mpifl.population.phones import Pinned
from mpifl.population.population import Population, ever_online
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.trace import DEVICE_COLUMNS, Trace
from tests.asking import uniform

CLIENTS, DEVICES, PATTERNS, CURVES, KEY = 90, 7, 11, 3, 5
WORK = Workload(bytes_down=1000, bytes_up=3000, batch_size=10, epochs=1, local_steps=None)
POLICIES: dict[str, Callable[..., RoundPolicy]] = {
    "sync": lambda **common: Sync(**common),
    "deadline": lambda **common: Deadline(seconds=20, partial=True, **common),
    "buffered": lambda **common: Buffered(concurrency=20, **common),
    "async": lambda **common: Async(concurrency=20, **common),
}


def bandwidth_of(random: np.random.Generator, curves: int) -> Bandwidth:
    return Bandwidth(
        offsets=np.arange(curves + 1) * 2,
        start=np.tile([0.0, 20.0], curves),
        download_kbps=random.uniform(1, 20, 2 * curves),
        upload_kbps=random.uniform(1, 20, 2 * curves),
        period=random.uniform(30, 50, curves),
    )


def sorted_as(trace: Trace, device: np.ndarray, pattern: np.ndarray) -> Trace:
    """The trace with a row of its own for each client, where the permutation finds it."""
    client_of = np.argsort([permuted(client, CLIENTS, KEY) for client in range(CLIENTS)])
    device, pattern = device[client_of], pattern[client_of]
    slots = [np.arange(trace.offsets[row], trace.offsets[row + 1]) for row in pattern]
    columns = {column: getattr(trace, column)[device] for column in DEVICE_COLUMNS}

    bandwidth = trace.bandwidth
    if bandwidth.curves:
        curve = device % CURVES
        points = (2 * curve[:, None] + [0, 1]).ravel()
        bandwidth = Bandwidth(
            np.arange(CLIENTS + 1) * 2,
            bandwidth.start[points],
            bandwidth.download_kbps[points],
            bandwidth.upload_kbps[points],
            bandwidth.period[curve],
        )
    return replace(
        trace,
        **columns,
        offsets=np.cumsum([0, *map(len, slots)]),
        start=trace.start[np.concatenate(slots)],
        end=trace.end[np.concatenate(slots)],
        period=trace.period[pattern],
        bandwidth=bandwidth,
    )


@pytest.fixture(scope="module")
def both(
    make_dataset: Callable[..., Dataset], make_trace: Callable[..., Trace]
) -> Callable[..., tuple[Population, Population]]:
    """both(curves): a population with pinned rows, and the one that is dealt the same phones."""

    def make(curves: bool = False) -> tuple[Population, Population]:
        random = np.random.default_rng(1)
        begins = random.uniform(0, 60, PATTERNS)
        slots = [
            [(a, a + b)] for a, b in zip(begins, random.uniform(20, 39, PATTERNS), strict=True)
        ]
        speeds = [random.uniform(5, 50, DEVICES).tolist() for _ in range(3)]
        trace = make_trace([*slots[:-1], []], random.uniform(100, 130, PATTERNS).tolist(), *speeds)
        if curves:
            trace = replace(trace, bandwidth=bandwidth_of(random, CURVES))

        device = random.integers(DEVICES, size=CLIENTS)
        pattern = random.integers(PATTERNS, size=CLIENTS)
        dataset = make_dataset([10, 25, 40])
        rows = Pinned.of(device, pattern, device % CURVES, PATTERNS)
        return (
            Population(CLIENTS, dataset, trace, KEY, pinned=rows),
            Population(CLIENTS, dataset, sorted_as(trace, device, pattern), KEY),
        )

    return make


@pytest.mark.parametrize("curves", [False, True], ids=["constant", "curves"])
@pytest.mark.parametrize("server", [None, 30.0], ids=["no limit", "server"])
@pytest.mark.parametrize("rule", ["strict", "resume", "fedscale"])
@pytest.mark.parametrize("mode", POLICIES)
def test_rounds_are_those_of_the_same_phones_dealt(
    both: Callable[..., tuple[Population, Population]],
    mode: str,
    rule: str,
    server: float | None,
    curves: bool,
) -> None:
    def rounds(population: Population) -> Iterator[tuple[float, bytes]]:
        set_up_ms = 700.0 if curves else 0.0
        latency = Latency(server_down_kbps=server, server_up_kbps=server, round_trip_ms=set_up_ms)
        policy, state = POLICIES[mode](availability=rule, latency=latency), ClockState()

        def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
            return uniform(population, now, wanted, 3, draw, busy)

        for _ in range(4):
            timeline, state = policy.advance(state, Call(8, choose, population, WORK))
            yield timeline.end_seconds, timeline.participants.tobytes()

    pinned, dealt = both(curves)
    assert list(rounds(pinned)) == list(rounds(dealt))


def test_who_is_online_is_found_by_the_index_as_by_asking_each(
    both: Callable[..., tuple[Population, Population]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DRAWS_A_CLIENT", "MOST_DRAWS", "DRAWS_A_MEMBER"):
        monkeypatch.setattr(f"mpifl.clock.online.{name}", 0)
    pinned, dealt = both()
    first, second = OnlineIndex(pinned), OnlineIndex(dealt)
    busy = np.array([3, 14, 15], np.int64)
    for now in np.linspace(0, 400, 60).tolist():
        assert first.draw(7, now, 12, busy).tolist() == second.draw(7, now, 12, busy).tolist()
        assert first.next_opening(now, busy) == second.next_opening(now, busy)


def test_rows_are_those_that_were_pinned(
    both: Callable[..., tuple[Population, Population]],
) -> None:
    pinned, _ = both()
    assert pinned.pinned is not None
    clients = np.array([4, 0, 89])
    assert pinned.devices(clients).tolist() == pinned.pinned.device[clients].tolist()
    assert pinned.patterns(clients).tolist() == pinned.pinned.pattern[clients].tolist()
    never = int((pinned.pinned.pattern == PATTERNS - 1).sum())
    assert ever_online(pinned.phones, CLIENTS) == CLIENTS - never
