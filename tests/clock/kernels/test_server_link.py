"""A server's bandwidth that transfers share: rounds by hand, the level at any moment, and what has to stay the same."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.clock.kernels.fair_share import Link, open_link
from mpifl.clock.kernels.flow import DOWNLOADING, FLOW, IDLE, OWN, SHARED
from mpifl.clock.kernels.latency import RESUME, STRICT, Rates, time_participants
from mpifl.clock.kernels.link_flows import left_behind, take_up
from mpifl.clock.kernels.server_link import advance, join
from mpifl.clock.kernels.transfer import Loads
from mpifl.clock.latency import Latency
from mpifl.clock.policies.all import All
from mpifl.clock.policies.async_ import Async
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.policies.semisync import Semisync
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import PARTICIPANT, ClockState, Outcome
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.population.phones import Phones
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.state.checkpoint import read_checkpoint, write_checkpoint
from tests.budget import examples
from tests.clock.kernels.test_transfer import bandwidth
from tests.known import known
from tests.makers import PopulationOf, RoundOf

COMPLETED, DROPPED, CUT = Outcome.COMPLETED, Outcome.DROPPED, Outcome.CUT
WORK = Workload(
    bytes_down=1000, bytes_up=1000, batch_size=10, epochs=1, local_steps=None
)  # 8 kbit each way


def server(down: float | None = None, up: float | None = None) -> Latency:
    return Latency(server_down_kbps=down, server_up_kbps=up)


# 1 + 3 + 1 s alone: 8 kbit at 8 kbit/s, 10 samples of 100 ms, 8 kbit. Worked out by hand.
@pytest.mark.parametrize(
    ("phones", "down", "up", "stops"),
    [
        ([{}, {}], 8, None, [6, 6]),  # 4 kbit/s each for 2 s
        ([{}, {}], None, 8, [6, 6]),
        ([{}, {}], 8, 8, [7, 7]),
        ([{}, {}], 16, 16, [5, 5]),
        ([{"down": 2}, {"down": 16}], 8, None, [8, 8 / 6 + 4]),  # 2 and 6 kbit/s
        (
            [{"down": 2}, {"down": 16}, {"down": 8}],
            8,
            None,
            [8, 8 / 3 + 4, 8 / 3 + 4],
        ),  # 2, 3 and 3
        (
            [{"down": 1}, {"down": 3}, {"down": 8}],
            8,
            None,
            [12, 8 / 3 + 4, 6],
        ),  # 1, 3 and 4: the level is above two
        ([{}, {"ms": 200}], None, 8, [5, 8]),  # one after the other
        (
            [{}, {"ms": 110}],
            None,
            8,
            [5.7, 6],
        ),  # 0.3 s alone, 2.8 kbit each in 1.4 s, the rest alone
        ([{"slots": [(0, 1)]}, {}], 8, None, [1, 5.5]),  # 4 kbit each; then one alone
        ([{"slots": [(0, 2)]}, {}], 8, None, [2, 6]),
        ([{"slots": [(0, 6)]}, {}], 8, None, [6, 6]),  # to the very moment
        ([{"down": 8, "slots": [(0, 5.9)]}, {}], 8, None, [5.9, 6]),
    ],
)
def test_rounds_by_hand(
    population_of: PopulationOf,
    round_of: RoundOf,
    phones: list[dict[str, Any]],
    down: float | None,
    up: float | None,
    stops: list[float],
) -> None:
    timeline, _ = round_of(All(latency=server(down, up)), population_of(phones), len(phones))
    rows = timeline.participants
    assert rows["stop_seconds"] == pytest.approx(stops, rel=1e-12)
    assert rows["download_seconds"].tolist() == [
        8 / phone.get("down", 8) for phone in phones
    ]  # as if alone
    dropped = [
        phone.get("slots", [(0, 100)])[0][1] == stop < 6
        for phone, stop in zip(phones, stops, strict=True)
    ]
    assert (rows["outcome"] == DROPPED).tolist() == dropped


def test_who_pauses_leaves_the_link_and_comes_back(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 4 kbit/s each to 1 s; alone 4 kbit of the second by 1.5; the first has 4 kbit left at 10 s: 0.5 s, 3 s, 1 s.
    population = population_of([{"slots": [(0, 1), (10, 100)]}, {}])
    timeline, _ = round_of(All(availability="resume", latency=server(8)), population, 2)
    assert timeline.participants["stop_seconds"].tolist() == [14.5, 5.5]


def test_bytes_at_a_drop_and_at_a_cut_are_those_really_carried(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    phones = [{"slots": [(0, 1)]}, {}, {"down": 1}, {"ms": 1000}]
    # 1 + 7 / 3 three times: 7/3 kbit by 1 s; then 3.5 each: 17/3 kbit take 34/21 s, so the second is done at 1 + 34/21 + 4.
    timeline, _ = round_of(Sync(overcommitment=4, latency=server(8)), population_of(phones), 1)
    rows, end = timeline.participants, 1 + 34 / 21 + 4
    assert rows["outcome"].tolist() == [DROPPED, COMPLETED, CUT, CUT]
    assert timeline.end_seconds == pytest.approx(end, rel=1e-12)
    assert rows["bytes_down"].tolist() == [291, 1000, int(end * 125), 1000]
    assert rows["bytes_up"].tolist() == [0, 1000, 0, 0]
    assert rows["joules"][3] == pytest.approx(
        2 * (end - 1 - 34 / 21) + 1000e-6, rel=1e-9
    )  # 2 W, 1 uJ a byte


def test_with_partial_steps_are_planned_as_if_alone(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 5 samples a step of 0.5 s: three steps and the transfers fit into 3.5 s, but not the wait for the other.
    work = Workload(1000, 1000, 5, 1, None, inferences_per_sample=1.0)
    population = population_of([{}, {"ms": 50}], held=20)
    timeline, _ = round_of(Deadline(seconds=3.5, latency=server(up=8)), population, 2, 0.0, work)
    assert timeline.participants["steps"].tolist() == [3, 4]
    assert timeline.participants["outcome"].tolist() == [
        CUT,
        COMPLETED,
    ]  # from 2.5 s on both upload at 4 kbit/s
    assert timeline.participants["bytes_up"].tolist() == [500, 1000]
    timeline, _ = round_of(Deadline(seconds=3.5, latency=server(8)), population, 2, 0.0, work)
    assert timeline.participants["steps"].tolist() == [3, 4]
    assert timeline.participants["outcome"].tolist() == [CUT, CUT]
    assert timeline.participants["bytes_up"].tolist() == [0, 500]
    assert timeline.end_seconds == 3.5


def test_the_link_stays_busy_from_round_to_round(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # Uploads begin at 5.5 and 5.8 s: 2.4 kbit alone, 5.6 at 4 kbit/s by 7.2 s, and 2.4 alone. Windows end at 4.9 and 7.35 s.
    policy = Semisync(window_seconds=2.45, concurrency=2, latency=server(up=8))
    population, state, rows = population_of([{"ms": 150}, {"ms": 160}]), ClockState(), []
    for _ in range(4):
        timeline, state = round_of(policy, population, 2, state)
        rows += timeline.participants.tolist()
        assert state.flows["client"].tolist() == state.flights["client"].tolist()
    found = np.array(rows, PARTICIPANT)
    assert found["client"].tolist() == [0, 1]
    assert found["stop_seconds"] == pytest.approx([7.2, 7.5], rel=1e-12)
    assert found["bytes_up"].tolist() == [1000, 1000]


def test_fedscales_rule_and_a_server_are_refused() -> None:
    for key in ("server_down_kbps", "server_up_kbps"):
        for policy in (Sync, Async):
            more = {"concurrency": 2} if policy is Async else {}
            job = policy(availability="fedscale", latency=Latency(**{key: 5000.0}), **more)
            with pytest.raises(
                InputError,
                match=rf"^clock\.latency\.{key}: 5000\.0 is not allowed with clock\.availability fedscale",
            ):
                job.check()
            policy(availability="resume", latency=Latency(**{key: 5000.0}), **more).check()
    for wrong in (0, -1.0, math.inf, True):
        with pytest.raises(ValueError, match="server_up_kbps"):
            Latency(server_up_kbps=wrong)


# Any moment


Drawn = tuple[int, int, float | None, float | None, bool]
CohortOf = Callable[[Drawn], tuple[Link, tuple[Phones, int, Rates]]]


@st.composite
def cohorts(draw: st.DrawFn) -> Drawn:
    """A seed, a rule and bandwidths: small ones, so that they limit; sometimes one direction has none."""
    limit = st.one_of(st.none(), st.floats(1.0, 200.0))
    return (
        draw(st.integers(0, 2**32)),
        draw(st.sampled_from([STRICT, RESUME])),
        draw(limit),
        draw(limit),
        draw(st.booleans()),
    )


@pytest.fixture(scope="session")
def cohort_of(population_of: PopulationOf) -> CohortOf:
    """cohort_of(drawn): an open link with everybody on it, and the words with which to call ``advance``."""

    def make(drawn: Drawn) -> tuple[Link, tuple[Phones, int, Rates]]:
        seed, rule, down, up, curves = drawn
        random = np.random.default_rng(seed)
        n = int(random.integers(1, 30))
        speeds = (
            random.choice([3.0, 5.5, 8.0, 13.0, 21.7], (2, n))
            if seed % 2
            else random.uniform(1, 30, (2, n))
        )
        phones = [
            {"ms": ms, "down": a, "up": b, "slots": [(0, c), (c + 7, 100)]}
            for ms, a, b, c in zip(
                random.uniform(10, 300, n), *speeds, random.uniform(5, 60, n), strict=True
            )
        ]
        population = population_of(phones)
        if curves:
            points = [(start, *random.choice([0.0, 4.0, 20.0], 2)) for start in (0.0, 1.5, 4.0)]
            given_ = bandwidth((7.0, [*points, (6.0, 9.0, 9.0)]), (30.0, [(0.0, 6.0, 2.0)]))
            population = replace(
                population, trace=replace(known(population.trace), bandwidth=given_)
            )
        rates = Rates(3.0, 1000.0, 0.25 * (seed % 3), math.inf, 1.0)
        loads = Loads(
            random.integers(0, 4000, n), random.integers(0, 4000, n), np.ones(n), *np.zeros((2, n))
        )
        clients, samples = np.arange(n), random.integers(1, 20, n)
        seconds, finished = time_participants(
            population.phones, rule, clients, samples, loads, rates, 0.0
        )
        link = open_link(down, up, n, 0.0)
        alone = np.where(finished, seconds[3], np.inf)
        join(
            link,
            population.phones,
            rates,
            np.arange(n),
            clients,
            loads,
            np.zeros(n),
            np.ascontiguousarray(seconds[1]),
            alone,
        )
        return link, (population.phones, rule, rates)

    return make


def fair_level(speeds: list[float], kbps: float) -> float:
    """Water filling, by trying every number of transfers that their own phones limit."""
    speeds = sorted(speeds)
    if sum(speeds) <= kbps:
        return math.inf
    return max((kbps - sum(speeds[:own])) / (len(speeds) - own) for own in range(len(speeds)))


@examples(150, derandomize=True)
@given(drawn=cohorts(), moments=st.lists(st.floats(0.01, 60.0), min_size=1, max_size=6))
def test_at_any_moment_rates_are_max_min_fair(
    cohort_of: CohortOf, drawn: Drawn, moments: list[float]
) -> None:
    link, (phones, rule, rates) = cohort_of(drawn)
    for moment in sorted(moments):
        advance(link, phones, rule, rates, moment, 10**6, 10**6)
        advance(
            link, phones, rule, rates, moment + 1e-7, 10**6, 10**6
        )  # levels are found as time goes on
        flows = link.flows[np.isinf(link.flows["stop"]) & (link.flows["setting_up"] == 0)]
        for direction, stage in enumerate((DOWNLOADING, DOWNLOADING + 2)):
            there = flows[(flows["stage"] == stage) & (flows["online"] == 1) & (flows["kbps"] > 0)]
            level = fair_level(there["kbps"].tolist(), link.server_kbps[direction])
            assert (there["limit"] == SHARED).tolist() == (there["kbps"] > level).tolist()
            assert set(there["limit"].tolist()) <= {OWN, SHARED}
            assert link.level[direction] == pytest.approx(level, rel=1e-9)
            assert (
                flows["limit"][
                    (flows["stage"] == stage) & ((flows["online"] == 0) | (flows["kbps"] == 0))
                ]
                == IDLE
            ).all()


@examples(150, derandomize=True)
@given(drawn=cohorts(), moments=st.lists(st.floats(0.01, 60.0), min_size=1, max_size=4))
def test_going_on_from_what_was_left_behind_changes_nothing(
    cohort_of: CohortOf, drawn: Drawn, moments: list[float]
) -> None:
    link, (phones, rule, rates) = cohort_of(drawn)
    advance(link, phones, rule, rates, 1e4, 10**6, 10**6)
    expected = left_behind(link)
    link, (phones, rule, rates) = cohort_of(drawn)
    for moment in sorted(moments):
        advance(link, phones, rule, rates, moment, 10**6, 10**6)
        kept = np.frombuffer(left_behind(link).tobytes(), FLOW)
        link = open_link(drawn[2], drawn[3], len(kept), moment)
        take_up(link, kept.copy())
    advance(link, phones, rule, rates, 1e4, 10**6, 10**6)
    found = left_behind(link)
    assert found["stage"].tolist() == expected["stage"].tolist()
    assert found["stop"] == pytest.approx(expected["stop"], rel=1e-12)
    assert found["left"] == pytest.approx(expected["left"], rel=1e-9, abs=1e-9)


@examples(60, derandomize=True)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 60), kbps=st.floats(0.5, 30.0))
def test_a_server_that_is_the_bottleneck_for_all_is_never_idle(
    population_of: PopulationOf, round_of: RoundOf, seed: int, n: int, kbps: float
) -> None:
    random = np.random.default_rng(seed)
    population = population_of([{"down": down} for down in random.uniform(31, 99, n)], period=1e5)
    timeline, _ = round_of(All(latency=server(kbps)), population, n, 5.0)
    last = timeline.participants["stop_seconds"].max() - 4  # 3 s of training, 1 s of upload
    assert last - 5 == pytest.approx(n * 8 / kbps, rel=1e-9)


@pytest.mark.parametrize("curves", [False, True])
@pytest.mark.parametrize("rule", ["strict", "resume", "always"])
@pytest.mark.parametrize(
    "policy",
    [
        lambda **more: Sync(**more),
        lambda **more: All(**more),
        lambda **more: Deadline(quantile=0.6, **more),
        lambda **more: Deadline(seconds=9.0, **more),
        lambda **more: Buffered(concurrency=6, **more),
        lambda **more: Semisync(concurrency=6, window_seconds=5.0, **more),
    ],
)
def test_with_more_bandwidth_than_anybody_needs_everything_is_as_without(
    population_of: PopulationOf,
    round_of: RoundOf,
    rule: str,
    policy: Callable[..., RoundPolicy],
    curves: bool,
) -> None:
    random = np.random.default_rng(2)
    for _ in range(12):
        phones = [
            {"ms": ms, "down": down, "up": up, "slots": [(0, cut), (cut + 5, 100)]}
            for ms, down, up, cut in random.uniform(
                (10, 1, 1, 5), (300, 30, 30, 60), (15, 4)
            ).tolist()
        ]
        population = replace(population_of(phones), always_online=rule == "always")
        if curves:
            given_ = [
                (p, [(0.0, a, b), (2.5, 0.0, 0.0), (3.0, b, a)])
                for p, a, b in random.uniform(4, 30, (5, 3)).tolist()
            ]
            population = replace(
                population, trace=replace(known(population.trace), bandwidth=bandwidth(*given_))
            )
        states = [ClockState(now=3.3), ClockState(now=3.3)]
        for _ in range(4):
            ended = []
            for index, latency in enumerate((Latency(), server(1e9, 1e9))):
                timeline, states[index] = round_of(
                    policy(availability=rule, latency=latency), population, 4, states[index]
                )
                ended.append(timeline)
            for name in known(ended[0].participants.dtype.names):
                found, expected = (timeline.participants[name] for timeline in ended)
                exactly = name not in ("bytes_down", "bytes_up", "joules")
                assert (
                    np.array_equal(found, expected)
                    if exactly
                    else np.allclose(found, expected, atol=1)
                ), name
            assert states[0].now == states[1].now
            assert np.array_equal(np.sort(states[0].flights, order="client"), states[1].flights)


@pytest.mark.parametrize("curves", [False, True])
def test_a_checkpoint_keeps_who_is_on_the_link(
    population_of: PopulationOf, round_of: RoundOf, tmp_path: Path, curves: bool
) -> None:
    random = np.random.default_rng(6)
    phones = [{"ms": ms, "slots": [(0, 21), (25, 90)]} for ms in random.uniform(20, 300, 12)]
    population = population_of(phones)
    if curves:
        population = replace(
            population,
            trace=replace(
                known(population.trace), bandwidth=bandwidth((7.0, [(0, 9, 3), (4, 2, 8)]))
            ),
        )
    policy, state = (
        Buffered(concurrency=8, availability="resume", latency=server(11.0, 7.0)),
        ClockState(now=1.5),
    )
    for round_number in range(1, 8):
        path = write_checkpoint(tmp_path, Snapshot(round_number, clock=state))
        kept = read_checkpoint(path).clock
        timeline, state = round_of(policy, population, 3, state)
        again, after = round_of(policy, population, 3, kept)
        assert again.participants.tobytes() == timeline.participants.tobytes()
        assert after.flows.tobytes() == state.flows.tobytes()
        assert (after.now, after.version, after.draws) == (state.now, state.version, state.draws)


def test_more_bandwidth_never_ends_a_round_later(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    random = np.random.default_rng(3)
    phones = [{"ms": ms, "down": down} for ms, down in random.uniform((10, 2), (300, 30), (40, 2))]
    ends = [
        round_of(All(latency=server(kbps, kbps)), population_of(phones, period=1e4), 40)[
            0
        ].end_seconds
        for kbps in (1, 3, 10, 30, 100, 300, 1000)
    ]
    assert ends == sorted(ends, reverse=True)
    assert ends[0] == pytest.approx(40 * 8 / 1 + 40 * 8 / 1, rel=0.05)


def test_ten_thousand_at_once_take_well_under_a_second(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    random = np.random.default_rng(4)
    values = random.uniform((10, 100, 100), (300, 9000, 9000), (500, 3))
    phones = population_of([dict(zip(("ms", "down", "up"), row, strict=True)) for row in values])
    population = replace(phones, clients=10_000)

    def everyone(now: float, wanted: int, *rest: Any) -> np.ndarray:
        return np.arange(wanted)

    for kbps in (1e4, 1e6):
        policy = Sync(overcommitment=1, latency=server(kbps, kbps))
        round_of(policy, population, 10, choose=everyone)  # compiles
        begun = time.thread_time()
        timeline, _ = round_of(policy, population, 10_000, choose=everyone)
        assert time.thread_time() - begun < 0.5
        assert timeline.count(COMPLETED) + timeline.count(DROPPED) == 10_000
