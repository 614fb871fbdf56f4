"""Joules by hand: watts x seconds of computing, and joules per byte that went over the air."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpifl.clock.kernels.progress import joules
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Population
from mpifl.record.rows import participant_rows, round_row
from mpifl.rounds.plan.plan import TASK, Plan
from mpifl.rounds.plan.round_result import METRIC, RoundResult
from mpifl.traces.trace import Trace
from tests.makers import PopulationOf

# 1,000 bytes at 8 kbit/s are 1 s, 10 samples of 100 ms are 3 s: 1 + 3 + 1 = 5 s of work.
WORK = Workload(bytes_down=1000, bytes_up=1000, batch_size=10, epochs=1, local_steps=None)
WHOLE = 3 * 2.0 + 1000 * 1e-6 + 1000 * 3e-6  # 2 W, 1 uJ a byte down, 3 uJ a byte up


@pytest.fixture
def population_of(
    make_trace: Callable[..., Trace],
    make_dataset: Callable[..., Dataset],
    make_population: Callable[..., Population],
) -> PopulationOf:
    """population_of([phone, ...]): client c has the c-th phone, a dict of what is not as above."""

    def make(given: list[dict[str, Any]]) -> Population:
        phones: list[Any] = [None] * len(given)
        for client, phone in enumerate(given):
            phones[permuted(client, len(given), 1)] = {
                "slots": [(0, 100)],
                "ms": 100,
                "down": 8,
                "up": 8,
                "watts": 2,
            } | phone
        trace = make_trace(
            [phone["slots"] for phone in phones],
            100.0,
            *([p[k] for p in phones] for k in ("ms", "down", "up", "watts")),
        )
        return make_population(make_dataset([10]), trace, clients=len(given))

    return make


def timeline_of(
    policy: RoundPolicy,
    population: Population,
    participants: int = 1,
    state: ClockState | None = None,
    clients: list[int] | None = None,
) -> tuple[Timeline, ClockState]:
    """A round that asks everyone (or ``clients``), in order; and the state after it."""
    chosen = np.arange(population.clients) if clients is None else np.array(clients)

    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return chosen[~np.isin(chosen, busy)][:wanted]

    call = Call(participants, choose, population, WORK)
    return policy.advance(state or ClockState(), call)


@pytest.mark.parametrize(
    ("phone", "outcome", "spent"),
    [
        ({"down": 1}, Outcome.CUT, 625e-6),  # 5 of the 8 s of its download
        ({"ms": 1000}, Outcome.CUT, 1000e-6 + 4 * 2),  # computes from 1 s to 31 s
        ({"up": 2}, Outcome.CUT, 1000e-6 + 3 * 2 + 250 * 3e-6),  # 1 of the 4 s of its upload
        ({"up": 2, "watts": 7}, Outcome.CUT, 1000e-6 + 3 * 7 + 250 * 3e-6),
        ({}, Outcome.CUT, WHOLE),  # finished with the first, and came after it
        ({"down": 1, "slots": [(0, 2)]}, Outcome.DROPPED, 250e-6),
        ({"ms": 1000, "slots": [(0, 2)]}, Outcome.DROPPED, 1000e-6 + 1 * 2),
        ({"up": 2, "slots": [(0, 4.5)]}, Outcome.DROPPED, 1000e-6 + 3 * 2 + 125 * 3e-6),
    ],
)
def test_what_was_done_by_the_stop_was_spent(
    population_of: PopulationOf, phone: dict[str, Any], outcome: Outcome, spent: float
) -> None:
    timeline, _ = timeline_of(Sync(overcommitment=2), population_of([{}, phone]))
    assert timeline.participants["outcome"].tolist() == [Outcome.COMPLETED, outcome]
    assert timeline.participants["joules"].tolist() == pytest.approx([WHOLE, spent], rel=1e-12)


@pytest.mark.parametrize(
    ("phone", "outcome", "spent"),
    [
        (
            {"slots": [(0, 2), (4, 100)]},
            Outcome.CUT,
            1000e-6 + 2 * 2,
        ),  # paused for 2 of the 5 s: 1 down, 2 computing
        ({"slots": [(0, 0.5), (1, 1.25)]}, Outcome.CUT, 750e-6),
        ({"slots": [(0, 4.5), (4.75, 100)]}, Outcome.CUT, 1000e-6 + 3 * 2 + 750 * 3e-6),
        ({"slots": [(0, 2)]}, Outcome.CUT, 1000e-6 + 1 * 2),  # away till 100 s
    ],
)
def test_with_resume_a_pause_spends_nothing(
    population_of: PopulationOf, phone: dict[str, Any], outcome: Outcome, spent: float
) -> None:
    timeline, _ = timeline_of(
        Sync(overcommitment=2, availability="resume"), population_of([{}, phone])
    )
    assert timeline.participants["outcome"].tolist() == [Outcome.COMPLETED, outcome]
    assert timeline.participants["joules"].tolist() == pytest.approx([WHOLE, spent], rel=1e-12)


def test_who_resumes_and_finishes_has_spent_as_much_as_one_who_never_paused(
    population_of: PopulationOf,
) -> None:
    population = population_of([{}, {"slots": [(0, 2), (40, 41), (50, 60)]}])
    timeline, _ = timeline_of(Sync(overcommitment=1, availability="resume"), population, 2)
    assert timeline.participants["stop_seconds"].tolist() == [5, 52]
    assert timeline.participants["joules"].tolist() == pytest.approx([WHOLE, WHOLE], rel=1e-12)


@pytest.mark.parametrize(
    ("phone", "down", "up", "spent"),
    [
        (
            {"slots": [(0, 4)]},
            1000,
            1000,
            WHOLE,
        ),  # offline at 5 s, when it would be done; the round ends then
        ({"slots": [(0, 1)], "ms": 50}, 1000, 1000, WHOLE - 1.5 * 2),  # at 3.5 s
        (
            {"slots": [(0, 4)], "ms": 200},
            1000,
            0,
            1000e-6 + 4 * 2,
        ),  # at 8 s: the round has ended, 4 of its 6 s of training
        ({"slots": [(0, 4)], "up": 2}, 1000, 250, 1000e-6 + 3 * 2 + 250 * 3e-6),
        ({"slots": [(0, 4)], "down": 1}, 625, 0, 625e-6),
    ],
)
def test_with_fedscales_rule_who_drops_out_has_spent_what_it_did_until_its_end_or_the_rounds(
    population_of: PopulationOf, phone: dict[str, Any], down: int, up: int, spent: float
) -> None:
    timeline, _ = timeline_of(
        Sync(overcommitment=2, availability="fedscale"), population_of([{}, phone])
    )
    rows = timeline.participants
    assert rows["outcome"].tolist() == [Outcome.COMPLETED, Outcome.DROPPED]
    assert rows["stop_seconds"].tolist() == [5, 0]
    assert (rows["bytes_down"].tolist(), rows["bytes_up"].tolist()) == ([1000, down], [1000, up])
    assert rows["joules"].tolist() == pytest.approx([WHOLE, spent], rel=1e-12)


def test_with_fedscales_rule_a_round_that_nobody_finishes_ends_with_the_first_who_would_have(
    population_of: PopulationOf,
) -> None:
    population = population_of(
        [{"slots": [(0, 4), (50, 60)]}, {"slots": [(0, 4), (50, 60)], "ms": 200}]
    )  # 5 and 8 s
    timeline, _ = timeline_of(Sync(overcommitment=2, availability="fedscale"), population)
    assert timeline.end_seconds == 5
    assert timeline.participants["joules"].tolist() == pytest.approx(
        [WHOLE, 1000e-6 + 4 * 2], rel=1e-12
    )


def test_with_fedscales_rule_who_drops_out_of_asynchronous_rounds_has_done_all_its_work(
    population_of: PopulationOf,
) -> None:
    population = population_of([{"slots": [(0, 4)], "ms": 200}, {}])
    timeline, _ = timeline_of(Buffered(concurrency=2, availability="fedscale"), population)
    rows = timeline.participants
    assert rows["client"].tolist()[-1] == 1
    assert set(rows["outcome"][:-1].tolist()) == {Outcome.DROPPED}
    assert rows["joules"][:-1] == pytest.approx(WHOLE + 3 * 2, rel=1e-12)


def test_a_stale_update_has_cost_all_of_its_energy_in_the_round_it_ends_in(
    population_of: PopulationOf,
) -> None:
    population = population_of([{}, {"ms": 200}])  # 5 and 8 s
    policy = Buffered(concurrency=2, max_staleness=0)
    first, state = timeline_of(policy, population)
    second, _ = timeline_of(policy, population, state=state)
    assert first.participants["joules"].tolist() == pytest.approx([WHOLE], rel=1e-12)
    assert second.participants["client"].tolist() == [1, 0]
    assert second.participants["outcome"].tolist() == [Outcome.STALE, Outcome.COMPLETED]
    assert second.participants["joules"].tolist() == pytest.approx(
        [WHOLE + 3 * 2, WHOLE], rel=1e-12
    )


def test_wasted_is_what_those_spent_who_did_not_complete(population_of: PopulationOf) -> None:
    population = population_of([{}, {"ms": 1000}, {"ms": 1000, "slots": [(0, 2)]}, {"ms": 50}])
    timeline, after = timeline_of(Sync(overcommitment=2), population, 2)
    result = RoundResult(Plan(1, np.empty(0, TASK), timeline, after, 4), np.empty(0, METRIC), None)
    row = round_row(result, participant_rows(result), 2)[0]
    assert (row["completed"], row["cut"], row["dropped"]) == (2, 1, 1)
    wasted = (1000e-6 + 4 * 2) + (1000e-6 + 1 * 2)
    assert row["joules_wasted"] == pytest.approx(wasted, rel=1e-12)
    assert row["joules"] == pytest.approx(wasted + WHOLE + (WHOLE - 1.5 * 2), rel=1e-12)


def test_nothing_is_wasted_where_all_complete(population_of: PopulationOf) -> None:
    timeline, after = timeline_of(Sync(overcommitment=1), population_of([{}, {}]), 2)
    result = RoundResult(Plan(1, np.empty(0, TASK), timeline, after, 2), np.empty(0, METRIC), None)
    row = round_row(result, participant_rows(result), 2)[0]
    assert row["joules_wasted"] == 0
    assert row["joules"] == pytest.approx(2 * WHOLE, rel=1e-12)


def test_the_kernel_takes_watts_and_both_radios_from_the_clients_own_device(
    make_trace: Callable[..., Trace],
    make_dataset: Callable[..., Dataset],
    make_population: Callable[..., Population],
) -> None:
    trace = make_trace([[(0, 100)]] * 3, compute_watts=[1, 10, 100])
    trace.download_joules_per_byte[:] = [2, 20, 200]
    trace.upload_joules_per_byte[:] = [3, 30, 300]
    phones = make_population(make_dataset([1]), trace, clients=6).phones
    one, none = np.ones(6), np.zeros(6, np.int64)
    scale = np.array([10.0 ** (permuted(client, 6, 1) % 3) for client in range(6)])
    assert joules(phones, np.arange(6), one * 0.5, none, none).tolist() == (0.5 * scale).tolist()
    assert joules(phones, np.arange(6), one * 0, none + 7, none).tolist() == (14 * scale).tolist()
    assert joules(phones, np.arange(6), one * 0, none, none + 7).tolist() == (21 * scale).tolist()
    assert joules(phones, np.arange(6), one, none + 1, none + 1).tolist() == (6 * scale).tolist()
