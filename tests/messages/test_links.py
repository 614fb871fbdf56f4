"""The speeds of actors' phones and links in a round, where others use them too."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mpifl.clock.background import HOURS
from mpifl.clock.cost import PLANNED, Cost
from mpifl.clock.kernels.latency import AVAILABILITY, Rates
from mpifl.clock.kernels.transfer import DOWN, UP
from mpifl.clock.latency import Latency
from mpifl.clock.workload import Workload
from mpifl.messages.letter import Letter
from mpifl.messages.links import Links
from mpifl.protocols.actor import Event
from mpifl.protocols.protocol import Protocol
from tests.makers import PopulationOf

HELD = 10
KBYTE_A_SECOND = 8.0
MESSAGE = Letter(0, 0, 1, "model", 1, 5000, {}, {})
HOUR = 3600.0


class Training(Protocol):
    """A protocol whose handlers train."""

    name: str = "training"

    def cost(self, actor: int, event: Event, setting: Any) -> Cost:
        return PLANNED


def links(population_of: PopulationOf, start: float, **keys: Any) -> Links:
    """Phones that are online from the second hour of a day on."""
    phone = {"slots": [(HOUR, 24 * HOUR)], "ms": 100.0, "down": 8.0, "up": 8.0}
    population = population_of([phone, phone], 24 * HOUR, HELD)
    work = Workload(bytes_down=0, bytes_up=0, batch_size=HELD, epochs=1, local_steps=None)
    rates = Rates(3.0, 1000.0, 0.0, math.inf, 1.0)
    kind = AVAILABILITY["resume"]
    return Links(population, Training(), None, work, kind, rates, Latency(**keys), start, 1)


def by_hour(hour: int) -> dict[str, Any]:
    shares = [float(number == hour) for number in range(HOURS)]
    keys = {"busy_share": 1, "busy_speed": 0.25, "traffic_share": 1, "traffic_speed": 0.5}
    return {"background": {**keys, "by_hour": shares}}


@pytest.mark.parametrize(("hour", "factor"), [(0, 1.0), (1, 0.5), (2, 1.0)])
@pytest.mark.parametrize("direction", [DOWN, UP])
def test_the_hour_is_that_at_which_a_transfer_begins(
    population_of: PopulationOf, direction: int, hour: int, factor: float
) -> None:
    asked = links(population_of, 0.0, **by_hour(hour))
    load = asked.load(MESSAGE, direction, 0.0)
    assert load.factor == factor
    span = asked.transfer(MESSAGE, direction, load, 0.0)
    assert (span.begin, span.done, span.carried) == (HOUR, True, 5000)
    assert span.end - span.begin == pytest.approx(5 * KBYTE_A_SECOND / 8 / factor)


@pytest.mark.parametrize(("start", "seconds"), [(0.0, 3 * HELD * 0.1 * 4), (HOUR, 3 * HELD * 0.1)])
def test_the_hour_is_that_of_the_trace(
    population_of: PopulationOf, start: float, seconds: float
) -> None:
    span = links(population_of, start, **by_hour(1)).work(0, Event("timer", "train", 1), 0.0)
    assert span.seconds == pytest.approx(seconds)
    assert span.begin == HOUR


def test_another_round_draws_anew_and_all_of_a_round_is_alike(population_of: PopulationOf) -> None:
    keys = {"busy_share": 0.5, "traffic_share": 0.5, "traffic_speed": 0.5}
    asked = links(population_of, 0.0, background=keys)
    of_round = [
        {
            asked.load(Letter(0, number, 1, "model", one, 5000, {}, {}), UP, HOUR).factor
            for number in range(5)
        }
        for one in range(40)
    ]
    assert all(len(factors) == 1 for factors in of_round)
    assert set.union(*of_round) == {0.5, 1.0}
