"""Transfers that break: the time and the bytes of a simulation that makes one attempt after the other."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mpifl.clock.latency import Latency
from mpifl.clock.policies.all import All
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.retry import Retry
from mpifl.clock.timeline import PARTICIPANT, Call, ClockState, Outcome
from mpifl.errors import InputError
from mpifl.population.population import Population
from mpifl.seeds import Purpose, number
from mpifl.traces.bandwidth import Bandwidth
from tests.clock.conftest import WORK
from tests.clock.test_variation import uniform
from tests.known import known
from tests.makers import PopulationOf

CLIENTS = 32
SEED = 11
KEYS = {"broken_share": 0.6, "wait_seconds": 2.5}
WIDE = {"server_down_kbps": 1e6, "server_up_kbps": 1e6}


def attempts(client: int, draw: int, direction: int, resume: bool) -> tuple[Fraction, int, int]:
    """Seconds and bytes of 1,000 bytes at 1,000 bytes/s, with 0.5 s for a connection; how often it breaks."""
    seconds, breaks, in_vain = Fraction(0), 0, Fraction(0)
    while True:
        u = Fraction(uniform(client, number(SEED, Purpose.RETRY, draw, direction, breaks)))
        if u >= Fraction(0.6):
            break
        breaks += 1
        if not resume:
            in_vain += u / Fraction(0.6) * 1000
        seconds += Fraction(5, 2) + Fraction(1, 2)
    sent = 1000 + math.ceil(in_vain)
    return seconds + Fraction(1, 2) + Fraction(sent, 1000), sent, breaks


def play(
    policy: RoundPolicy, population: Population, draws: int = 0, wanted: int = CLIENTS
) -> np.ndarray:
    def choose(now: float, most: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return np.setdiff1d(np.arange(CLIENTS), busy)[:most]

    call = Call(wanted, choose, population, WORK, SEED)
    return policy.advance(ClockState(draws=draws), call)[0].participants


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("link", [{}, WIDE, {"cells": {"number": 2, "up_kbps": 1e6}}])
@pytest.mark.parametrize("curves", [False, True])
def test_transfers_take_the_time_and_the_bytes_of_all_attempts(
    population_of: PopulationOf, resume: bool, link: dict[str, Any], curves: bool
) -> None:
    population = population_of([{}] * CLIENTS)
    if curves:  # that are constant
        flat = np.full(CLIENTS, 8.0)
        offsets, start = np.arange(CLIENTS + 1), np.zeros(CLIENTS)
        bandwidth = Bandwidth(offsets, start, flat, flat, np.full(CLIENTS, 7.0))
        population = replace(
            population, trace=replace(known(population.trace), bandwidth=bandwidth)
        )
    latency = Latency(retry=KEYS | {"resume": resume}, round_trip_ms=500, **link)
    rows = play(All(latency=latency), population, draws=3)
    most = 0
    for row in rows:
        down, sent_down, broke = attempts(int(row["client"]), 4, 0, resume)
        up, sent_up, _ = attempts(int(row["client"]), 4, 1, resume)
        assert (row["bytes_down"], row["bytes_up"]) == (sent_down, sent_up)
        assert row["download_seconds"] == pytest.approx(float(down), rel=1e-12)
        assert row["stop_seconds"] == pytest.approx(float(down + 3 + up), rel=1e-12)
        most = max(most, broke)
    assert most > 2


@pytest.mark.parametrize("link", [{}, WIDE])
def test_who_is_cut_while_it_waits_has_sent_nothing(
    population_of: PopulationOf, link: dict[str, Any]
) -> None:
    population = population_of([{}] * CLIENTS)
    latency = Latency(retry=KEYS | {"resume": True}, **link)
    rows = play(Sync(latency=latency, overcommitment=2.0), population, wanted=CLIENTS // 2)
    cut = rows[rows["outcome"] == Outcome.CUT]
    spent = cut["stop_seconds"] - cut["start_seconds"]
    waiting = spent < cut["wait_down"]
    assert waiting.any()
    assert (cut["bytes_down"][waiting] == 0).all()
    later = (spent > cut["wait_down"]) & (spent < cut["download_seconds"])
    expected = 1000 * (spent[later] - cut["wait_down"][later])
    assert cut["bytes_down"][later] == pytest.approx(expected, abs=1.0)


def test_in_asynchronous_modes_each_participation_breaks_by_itself(
    population_of: PopulationOf,
) -> None:
    population = population_of([{}] * CLIENTS)
    policy = Buffered(concurrency=8, latency=Latency(retry=KEYS))
    rows = play(policy, population, wanted=24)
    again = play(policy, population, wanted=24)
    assert rows.tobytes() == again.tobytes()
    assert len(np.unique(rows["wait_down"])) > 2


def test_how_often_transfers_break_is_geometric() -> None:
    rows = np.zeros(200_000, PARTICIPANT)
    rows["client"] = np.arange(len(rows))
    rows["load_down"] = 1000
    Retry(broken_share=0.3, wait_seconds=1.0, resume=False).apply(1, 1, rows, 0.0)
    for k in range(4):
        share = np.mean(rows["wait_down"] == k)
        assert share == pytest.approx(0.7 * 0.3**k, abs=0.005)
    assert rows["load_down"].mean() == pytest.approx(1000 * (1 + 0.5 * 0.3 / 0.7), rel=0.01)
    assert (rows["load_up"] == 0).all()
    assert (rows["wait_up"] == 0).all()


def test_measured_uploads_cannot_begin_at_the_first_byte_again() -> None:
    latency = {"retry": {"broken_share": 0.1, "resume": False}}
    with pytest.raises(InputError, match=r"retry.resume: false is not allowed"):
        Sync(costs="measured", latency=latency).check()


@pytest.mark.parametrize("resume", [True, False])
def test_a_message_of_a_protocol_breaks_as_often_and_each_by_itself(resume: bool) -> None:
    retry = Retry(**KEYS, resume=resume)
    tries = [
        (sender, message, way) for sender in range(40) for message in range(50) for way in (0, 1)
    ]
    found = [retry.of_message(SEED, *one, 1000, 0.5) for one in tries]
    assert found == [retry.of_message(SEED, *one, 1000, 0.5) for one in tries]

    breaks = np.array([wait for _, wait in found]) / 3.0
    assert (breaks == np.rint(breaks)).all()
    assert breaks.mean() == pytest.approx(0.6 / 0.4, rel=0.1)
    assert (breaks == 0).mean() == pytest.approx(0.4, rel=0.1)
    carried = np.array([size for size, _ in found])
    in_vain = 0 if resume else 500 * breaks.mean()
    assert carried.mean() == pytest.approx(1000 + in_vain, rel=0.05)
    ways = breaks.reshape(40, 50, 2)
    assert abs(np.corrcoef(ways[..., 0].ravel(), ways[..., 1].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(ways[:, 1:].ravel(), ways[:, :-1].ravel())[0, 1]) < 0.1
    assert retry.of_message(SEED, 0, 0, 0, 0, 0.5) == (0, 0.0)
