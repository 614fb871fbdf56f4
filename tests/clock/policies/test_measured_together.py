"""Rounds of participants that begin together, with measured costs: the round is that of what they did, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.clock.policies.all import All
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.settlement import Costs
from mpifl.clock.timeline import Call, ClockState, Outcome
from mpifl.population.population import Population
from tests.asking import WORK
from tests.makers import PopulationOf

COMPLETED, CUT = int(Outcome.COMPLETED), int(Outcome.CUT)
STEPS, LOADS, STOPS = [2, 3, 1], [500, 3000, 1000], [17.5, 18.5, 18.0]


@pytest.fixture
def population(population_of: PopulationOf) -> Population:
    """A step of 10 samples takes 3, 1.5 and 6 s, of which there are three, and 1000 bytes take 1 s."""
    return population_of([{"ms": 100}, {"ms": 50}, {"ms": 200}], held=30)


def settled(policy: RoundPolicy, population: Population, wanted: int, costs: Costs | None) -> Any:
    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return np.arange(3)

    making = policy.settlement(
        ClockState(now=10.0, version=4), Call(wanted, choose, population, WORK)
    )
    asked = next(making)
    assert asked["steps"].tolist() == [3, 3, 3]
    with pytest.raises(StopIteration) as end:
        making.send(costs)
    return end.value.value


@pytest.mark.parametrize(
    ("policy", "wanted", "lasts", "outcomes"),
    [
        (All(costs="measured"), 3, 8.5, [COMPLETED] * 3),
        (Sync(costs="measured", overcommitment=1.5), 2, 8.0, [COMPLETED, CUT, COMPLETED]),
        (Sync(costs="measured", overcommitment=3), 1, 7.5, [COMPLETED, CUT, CUT]),
        (
            Deadline(costs="measured", seconds=8.25, partial=False),
            3,
            8.25,
            [COMPLETED, CUT, COMPLETED],
        ),
    ],
    ids=["all", "sync", "the fastest", "deadline"],
)
def test_a_round_is_that_of_what_its_participants_did(
    population: Population, policy: RoundPolicy, wanted: int, lasts: float, outcomes: list[int]
) -> None:
    """They last 7.5, 8.5 and 8 s: 1 s down, 6, 4.5 and 6 s of steps, 0.5, 3 and 1 s up. Declared: 11, 6.5 and 20 s."""
    costs = Costs(np.array(STEPS), np.array(LOADS))
    timeline, after = settled(policy, population, wanted, costs)
    rows = timeline.participants
    assert rows["client"].tolist() == [0, 1, 2]
    assert rows["outcome"].tolist() == outcomes
    assert (timeline.start_seconds, timeline.end_seconds) == (10.0, 10.0 + lasts)
    assert (after.now, after.version, after.draws) == (10.0 + lasts, 5, 1)
    done = rows["outcome"] == COMPLETED
    assert rows["steps"][done].tolist() == np.array(STEPS)[done].tolist()
    assert rows["stop_seconds"][done].tolist() == np.array(STOPS)[done].tolist()
    assert rows["bytes_up"][done].tolist() == np.array(LOADS)[done].tolist()
    assert rows["measured"].all()


@pytest.mark.parametrize("costs", [None, Costs(np.full(3, 3), np.full(3, 1000))])
def test_who_did_what_was_declared_changes_nothing(
    population: Population, costs: Costs | None
) -> None:
    timeline, _ = settled(All(costs="measured"), population, 3, costs)
    assert timeline.participants["stop_seconds"].tolist() == [21.0, 16.5, 30.0]
    assert timeline.end_seconds == 30.0


def test_with_declared_costs_nobody_looks_at_what_was_done(population: Population) -> None:
    costs = Costs(np.array(STEPS), np.array(LOADS))
    timeline, _ = settled(All(), population, 3, costs)
    assert timeline.participants["stop_seconds"].tolist() == [21.0, 16.5, 30.0]
    assert not timeline.participants["measured"].any()
