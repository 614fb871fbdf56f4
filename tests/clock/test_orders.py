"""What participants are told to do, in the clock: by hand, and as the job's own keys where all are told the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpifl.clock.latency import Latency
from mpifl.clock.orders import Orders
from mpifl.clock.policies.all import All
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.policies.semisync import Semisync
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import Call, ClockState
from mpifl.clock.workload import Workload
from tests.asking import uniform
from tests.makers import PopulationOf

WORK = Workload(
    bytes_down=1000,
    bytes_up=1000,
    batch_size=10,
    epochs=1,
    local_steps=None,
    bytes_of_part=lambda sent: round(1000 * sent),
)
ONLINE: Any = {"slots": [(0, 90)]}
SLOW: Any = {"slots": [(0, 90)], "ms": 200}


def test_each_participant_is_charged_for_what_it_is_told(population_of: PopulationOf) -> None:
    """1,000 bytes at 8 kbit/s are 1 s, 10 samples of 100 ms are 3 s."""
    call = Call(
        3,
        lambda *_: np.array([0, 1, 2]),
        population_of([ONLINE] * 3),
        WORK,
        order=lambda clients, now, draw: Orders(np.array([2, 1, 3]), np.array([0.5, 1.0, 0.25])),
    )
    rows = All().advance(ClockState(), call)[0].participants
    assert rows["steps"].tolist() == [2, 1, 3]
    assert rows["samples"].tolist() == [20, 10, 30]
    assert rows["stop_seconds"].tolist() == [1 + 6 + 0.5, 1 + 3 + 1, 1 + 9 + 0.25]
    assert rows["bytes_up"].tolist() == [500, 1000, 250]
    assert rows["bytes_down"].tolist() == [1000] * 3


def test_a_forecast_is_by_the_keys_of_the_job_unless_it_says_otherwise(
    population_of: PopulationOf,
) -> None:
    told = Orders(np.array([4]))
    call = Call(1, lambda *_: np.array([0]), population_of([ONLINE]), WORK, order=lambda *_: told)
    who = np.array([0])
    assert All().launch(call, who, 0.0, 0)["steps"].tolist() == [1]
    assert All().launch(call, who, 0.0, 0, orders=told)["steps"].tolist() == [4]
    assert All().launch(call, who, 0.0, 0, draw=1)["steps"].tolist() == [4]


@pytest.mark.parametrize(
    "policy",
    [
        Sync(overcommitment=1.5),
        Sync(overcommitment=1.5, latency=Latency(server_up_kbps=12.0)),
        All(availability="resume"),
        Deadline(seconds=14.0),
        Buffered(concurrency=6),
        Semisync(concurrency=6, window_seconds=15.0),
    ],
    ids=["sync", "shared", "all", "deadline", "buffered", "semisync"],
)
def test_the_same_orders_for_all_are_another_job(
    population_of: PopulationOf, policy: RoundPolicy
) -> None:
    """Three rounds: as many steps, and a share of the upload, are ``local_steps`` and so many bytes."""
    population = population_of([ONLINE, SLOW] * 6)

    def lowest(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return np.sort(uniform(population, now, population.clients, 1, draw, busy))[:wanted]

    def told(clients: np.ndarray, now: float, draw: int) -> Orders:
        return Orders(np.full(len(clients), 3), np.full(len(clients), 0.4))

    own = replace(WORK, epochs=None, local_steps=3, bytes_up=400)
    ordered = Call(4, lowest, population, WORK, order=told)
    states = [ClockState(), ClockState()]
    for number in range(1, 4):
        calls = (replace(ordered, round=number), Call(4, lowest, population, own, round=number))
        made = [policy.advance(*pair) for pair in zip(states, calls, strict=True)]
        states = [after for _, after in made]
        told_rows, own_rows = (timeline.participants for timeline, _ in made)
        assert len(own_rows)
        own_rows["sent"][:] = 0.4
        assert told_rows.tobytes() == own_rows.tobytes()
        assert made[0][0].end_seconds == made[1][0].end_seconds


def test_who_may_be_told_to_do_less_is_not_said_to_be_unable(population_of: PopulationOf) -> None:
    """Of 30 s online, 20 epochs take 60: too long, but a rule may tell it to make one step."""
    population = population_of([{"slots": [(0, 30)]}])
    heavy = replace(WORK, epochs=20)  # 60 s of training
    call = Call(1, lambda *_: np.array([0]), population, heavy)
    policy = All()
    with pytest.raises(Exception, match="can ever finish"):
        policy.check_possible(call)
    policy.check_possible(replace(call, order=lambda clients, now, draw: Orders(np.array([1]))))
