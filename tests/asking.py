"""Asks a selection rule as the round loop does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpifl.clock.online import NOBODY
from mpifl.clock.policies.sync import Sync
from mpifl.clock.timeline import Call
from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.selection import Selection
from mpifl.selection.uniform import Uniform

WORK = Workload(bytes_down=1000, bytes_up=1000, batch_size=10, epochs=1, local_steps=None)


def context(
    population: Population,
    now: float = 0.0,
    wanted: int = 1,
    seed: int = 1,
    draw: int = 1,
    busy: np.ndarray = NOBODY,
    state: Mapping[str, Any] | None = None,
    workload: Workload = WORK,
) -> SelectionContext:
    """What a rule sees; the round has the number of the draw."""
    call = Call(wanted, lambda *_: NOBODY, population, workload)
    return SelectionContext(
        population,
        workload,
        lambda clients: Sync().launch(call, clients, now, 0),
        seed,
        draw,
        draw,
        now,
        wanted,
        busy,
        dict(state or {}),
    )


def ask(rule: Selection, population: Population, *moment: Any, **more: Any) -> np.ndarray:
    """The clients that a rule chooses; arguments as those of ``context``."""
    return rule.choose(context(population, *moment, **more))


def uniform(population: Population, *moment: Any, **more: Any) -> np.ndarray:
    """The clients that Uniform chooses."""
    return ask(Uniform(), population, *moment, **more)
