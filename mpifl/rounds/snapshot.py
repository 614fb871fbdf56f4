"""A run between two rounds: everything that its rest depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mpifl.clock.timeline import ClockState
from mpifl.rounds.plan import Plan
from mpifl.rounds.round_result import PERSONAL
from mpifl.selection.feedback import State

Vectors = dict[str, np.ndarray]

STATE_ROUND = np.dtype([("client", "<i8"), ("round", "<i4")])
"""A client that keeps state, and the round after which it last did."""


@dataclass(frozen=True)
class Waiting:
    """A round that is over and waits for the test of its model.

    ``metrics`` (structured METRIC) are those of its tasks. ``version`` is the model version to
    test, None where no test is due. ``personal`` (structured PERSONAL) are the clients that are
    then tested with their own models.
    """

    plan: Plan
    metrics: np.ndarray
    version: int | None
    personal: np.ndarray = field(default_factory=lambda: np.empty(0, PERSONAL))


@dataclass(frozen=True)
class Snapshot:
    """A run after ``rounds_done`` rounds. It never changes.

    Attributes:
        rounds_done: Number of rounds that are over.
        version: Number of the newest model version.
        state: The server's vectors (float32) by name; None at the start of a run.
        versions: Model versions that a client in flight or a test still needs, by number.
        clock: The state of the clock.
        learned: What the selection rule has learned, by name; None at the start of a run.
        untested: Rounds that are over and wait for the test of their model.
        state_rounds: Structured STATE_ROUND, sorted by client.
        rows: Number of rows of each table of run.h5; None at the start of a run.
    """

    rounds_done: int = 0
    version: int = 0
    state: Vectors | None = None
    versions: dict[int, Vectors] | None = None
    clock: ClockState = field(default_factory=ClockState)
    learned: State | None = None
    untested: tuple[Waiting, ...] = ()
    state_rounds: np.ndarray = field(default_factory=lambda: np.empty(0, STATE_ROUND))
    rows: dict[str, int] | None = None
