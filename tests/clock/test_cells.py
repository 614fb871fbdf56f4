"""Cells: participants of a cell share its bandwidth as those of a server do, and others do not touch them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.clock.cells import Cells
from mpifl.clock.latency import Latency
from mpifl.clock.policies.all import All
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline
from mpifl.errors import InputError
from mpifl.population.population import Population
from mpifl.rounds.experiment.build_experiment import check_job
from tests.clock.conftest import WORK
from tests.makers import PopulationOf

LIMITS = {"down_kbps": 9.0, "up_kbps": 5.0}
CLIENTS = 24
SEED = 3


@pytest.fixture(scope="module")
def population(population_of: PopulationOf) -> Population:
    random = np.random.default_rng(4)
    columns = random.uniform((20, 4, 4, 20), (200, 12, 12, 60), (CLIENTS, 4)).tolist()
    return population_of(
        [{"ms": ms, "down": down, "up": up, "slots": [(0, cut)]} for ms, down, up, cut in columns]
    )


def play(
    policy: RoundPolicy, population: Population, clients: np.ndarray, wanted: int
) -> tuple[Timeline, ClockState]:
    def choose(now: float, most: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return clients[:most]

    return policy.advance(ClockState(), Call(wanted, choose, population, WORK, SEED))


def cell_of(number: int) -> np.ndarray:
    return Cells(number=number, up_kbps=1.0).of(np.arange(CLIENTS), SEED)


@pytest.mark.parametrize("availability", ["strict", "resume"])
def test_the_participants_of_each_cell_have_the_round_of_a_server_of_their_own(
    population: Population, availability: str
) -> None:
    """The oracle is the shared server link, which event simulations of its own judge (test_server_events)."""
    everyone = np.arange(CLIENTS)
    latency = Latency(cells={"number": 4, **LIMITS})
    timeline, _ = play(All(latency=latency, availability=availability), population, everyone, 24)
    cells = cell_of(4)
    assert len(np.unique(cells)) == 4
    for cell in range(4):
        members = np.flatnonzero(cells == cell)
        server = Latency(server_down_kbps=9.0, server_up_kbps=5.0)
        alone, _ = play(
            All(latency=server, availability=availability), population, members, len(members)
        )
        assert timeline.participants[members].tobytes() == alone.participants.tobytes()


def test_two_in_a_cell_share_it_and_a_third_elsewhere_does_not(population_of: PopulationOf) -> None:
    # 8,000 bits each way at 8 kbit/s: two share the 8 kbit/s of their cell, and take 2 + 3 + 2 s.
    population = population_of([{}] * CLIENTS)
    cells = cell_of(2)
    first, second, third = *np.flatnonzero(cells == 0)[:2], np.flatnonzero(cells == 1)[0]
    latency = Latency(cells={"number": 2, "down_kbps": 8.0, "up_kbps": 8.0})
    chosen = np.array([first, second, third])
    rows = play(All(latency=latency), population, chosen, 3)[0].participants
    assert rows["stop_seconds"].tolist() == [7.0, 7.0, 5.0]


def test_who_is_cut_has_sent_what_its_cell_let_through_by_then(population_of: PopulationOf) -> None:
    population = population_of([{}] * CLIENTS)
    cells = cell_of(2)
    chosen = np.array([*np.flatnonzero(cells == 0)[:2], np.flatnonzero(cells == 1)[0]])
    latency = Latency(cells={"number": 2, "up_kbps": 4.0})
    timeline, _ = play(Sync(latency=latency, overcommitment=3.0), population, chosen, 1)
    # 1 + 3 s; then the third alone has 4 kbit/s, the others 2 each: 2 s of 4.
    assert timeline.end_seconds == 6.0
    assert timeline.participants["outcome"].tolist() == [Outcome.CUT] * 2 + [Outcome.COMPLETED]
    assert timeline.participants["bytes_up"].tolist() == [500, 500, 1000]


def test_the_first_to_finish_over_all_cells_end_the_round(population: Population) -> None:
    everyone = np.arange(CLIENTS)
    latency = Latency(cells={"number": 4, **LIMITS})
    whole = play(All(latency=latency), population, everyone, 24)[0].participants
    timeline, _ = play(Sync(latency=latency, overcommitment=3.0), population, everyone, 8)
    done = whole["outcome"] == Outcome.COMPLETED
    end = np.sort(whole["stop_seconds"][done])[7]
    assert timeline.end_seconds == end
    rows = timeline.participants
    early = rows["outcome"] == Outcome.COMPLETED
    assert early.tolist() == (done & (whole["stop_seconds"] <= end)).tolist()
    assert rows["stop_seconds"][early].tolist() == whole["stop_seconds"][early].tolist()
    deadline = play(
        Deadline(seconds=float(end), partial=False, latency=latency), population, everyone, 24
    )
    assert deadline[0].participants["bytes_up"].tolist() == rows["bytes_up"].tolist()


@pytest.mark.parametrize(
    ("policy", "keys", "latency"),
    [
        (Sync, {}, {"server_up_kbps": 9}),
        (Sync, {"availability": "fedscale"}, {}),
    ],
)
def test_what_does_not_go_with_cells_is_refused(
    policy: type[RoundPolicy], keys: dict[str, Any], latency: dict[str, float]
) -> None:
    with pytest.raises(InputError, match=r"cells.number: 3 is not allowed with clock\."):
        policy(latency={"cells": {"number": 3, **LIMITS}, **latency}, **keys).check()


@pytest.mark.parametrize("keys", [{"number": 3}, {"up_kbps": 3.0}])
def test_cells_need_a_number_and_a_bandwidth(keys: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cells need number"):
        Cells(**keys)


@pytest.mark.parametrize("way", ["down", "up"])
def test_cells_that_take_months_for_a_model_are_refused(way: str) -> None:
    slow = f"clock.latency.cells={{number: 3, {way}_kbps: 1.0e-6}}"
    with pytest.raises(InputError, match=f"cells.{way}_kbps: 1e-06 is not allowed: the .* bytes"):
        check_job("quickstart", [slow])
