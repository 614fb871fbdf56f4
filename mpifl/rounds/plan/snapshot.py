"""A run between two rounds: everything that its rest depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mpifl.algorithms.algorithm import FOUND
from mpifl.clock.timeline import ClockState
from mpifl.privacy.participations import PARTICIPATIONS
from mpifl.privacy.privacy import NOT_PRIVATE, PrivateRound
from mpifl.rounds.plan.held import HELD
from mpifl.rounds.plan.plan import Plan
from mpifl.rounds.plan.round_result import MESSAGES, NOT_JUDGED, PERSONAL, Judged
from mpifl.selection.feedback import State

Vectors = dict[str, np.ndarray]

STATE_ROUND = np.dtype([("client", "<i8"), ("round", "<i4")])
"""A client that keeps state, and the round after which it last did."""


NOBODY = np.empty(0, PERSONAL)
"""No clients that are tested with their own models."""


@dataclass(frozen=True)
class Waiting:
    """A round that is over and waits for the test of its model.

    ``metrics`` (structured METRIC) are those of its tasks. ``version`` is the model version to
    test, None where no test is due. ``personal`` (structured PERSONAL) are the clients that are
    then tested with their own models. ``stopped`` says that the server's step was not taken,
    ``privacy`` what the round has spent, ``judged`` how its contributions were evaluated,
    ``found`` (structured FOUND) what an algorithm without a model has found until then,
    ``messages`` (structured MESSAGES) what the actors of a protocol have sent.
    """

    plan: Plan
    metrics: np.ndarray
    version: int | None
    personal: np.ndarray = field(default_factory=lambda: NOBODY)
    stopped: bool = False
    privacy: PrivateRound = NOT_PRIVATE
    judged: Judged = NOT_JUDGED
    found: np.ndarray = field(default_factory=lambda: np.empty(0, FOUND))
    messages: np.ndarray = field(default_factory=lambda: np.empty(0, MESSAGES))


@dataclass(frozen=True)
class Snapshot:
    """A run after ``rounds_done`` rounds; a protocol's also within the next. It never changes.

    Attributes:
        rounds_done: Number of rounds that are over.
        version: Number of the newest model version.
        state: The server's vectors (float32) by name; None at the start of a run.
        versions: Model versions that a client in flight or a test still needs, by number.
        clock: The state of the clock.
        learned: What the selection rule has learned, by name; None at the start of a run.
        untested: Rounds that are over and wait for the test of their model.
        state_rounds: Structured STATE_ROUND, sorted by client.
        participations: Structured PARTICIPATIONS, of a job with privacy.
        held: Structured HELD, of a job with ``exchange.delta``.
        messages: The events and the actors' files of a protocol, JSON; empty in rounds.
        events: How many events of a protocol were taken, where it is in the midst of a round; else
            0.
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
    participations: np.ndarray = field(default_factory=lambda: np.empty(0, PARTICIPATIONS))
    held: np.ndarray = field(default_factory=lambda: np.empty(0, HELD))
    messages: str = ""
    events: int = 0
    rows: dict[str, int] | None = None

    @property
    def moment(self) -> str:
        """When it is, as names of files have it: in their order, and different for each moment."""
        within = f".{self.events:012}" if self.events else ""
        return f"round-{self.rounds_done:08}{within}"


def round_of(name: str) -> int:
    """Return the rounds that were over at the ``moment`` with which a file's name begins."""
    return int(name.split("-")[1].split(".")[0])
