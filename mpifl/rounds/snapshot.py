"""A run between two rounds: everything that the rest of it depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mpifl.clock.timeline import ClockState
from mpifl.rounds.plan import Plan

Vectors = dict[str, np.ndarray]

STATE_ROUND = np.dtype([("client", "<i8"), ("round", "<i4")])
"""A client that keeps state, and the round after which it last did."""


@dataclass(frozen=True)
class Waiting:
    """A round that is over: its plan, the training losses (structured METRIC), and the version to test for it, if any."""

    plan: Plan
    metrics: np.ndarray
    version: int | None


@dataclass(frozen=True)
class Snapshot:
    """A run after ``rounds_done`` rounds; nothing in it changes any more.

    ``rows`` counts those of run.h5 by table. ``state_rounds`` (structured STATE_ROUND) are sorted by client.
    """

    rounds_done: int = 0
    version: int = 0
    state: Vectors | None = None
    versions: dict[int, Vectors] | None = None
    clock: ClockState = field(default_factory=ClockState)
    untested: tuple[Waiting, ...] = ()
    state_rounds: np.ndarray = field(default_factory=lambda: np.empty(0, STATE_ROUND))
    rows: dict[str, int] | None = None
