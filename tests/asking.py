"""Asks a selection rule as the round loop does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from scipy import stats

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
        lambda clients, orders=None: Sync().launch(call, clients, now, 0, orders=orders),
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


def assert_drawn_by_weight(
    rule: Selection, weight: Sequence[float], population: Population, **more: Any
) -> None:
    """Of 4 clients 2 are drawn one after the other: every pair is as frequent as the product of its two draws says."""
    times = 4000
    drawn = np.array(
        [ask(rule, population, 1.0, 2, draw=draw, **more) for draw in range(1, times + 1)]
    )
    expected = {
        (i, j): weight[i] / sum(weight) * weight[j] / (sum(weight) - weight[i])
        for i, j in permutations(range(4), 2)
    }
    counts = [np.count_nonzero((drawn == pair).all(axis=1)) for pair in expected]
    assert stats.chisquare(counts, np.array(list(expected.values())) * times).pvalue > 1e-3


def uniform(population: Population, *moment: Any, **more: Any) -> np.ndarray:
    """The clients that Uniform chooses."""
    return ask(Uniform(), population, *moment, **more)
