"""What training and testing give for a plan (``plan.py``)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mpifl.algorithms.algorithm import FOUND
from mpifl.clock.timeline import Outcome
from mpifl.privacy.privacy import NOT_PRIVATE, PrivateRound
from mpifl.rounds.plan.plan import Plan

MEASURED = ("loss", "squared_loss", "last_squared_loss", "update_norm")
"""What is measured of a task: of its training, see LocalResult, and of its update."""

METRIC = np.dtype(
    [
        ("round", "<i4"),
        ("client", "<i8"),
        ("steps", "<i8"),
        *[(name, "<f8") for name in MEASURED],
        ("slot", "<i4"),
        ("failed", "<u1"),
        ("rejected", "<u1"),
        ("bytes_up", "<i8"),  # of its upload as ``exchange.up`` has coded it; 0 without
        ("contribution", "<f8"),  # NaN where it was not evaluated
        ("told", "<f8"),  # to the stage of ``exchange.up`` that the server steers; 0 without
    ]
)
"""A task's local steps as they were made, its training losses, the norm of its update, and the slot
of the sums that its upload went into; or 1 in ``failed`` where its training failed and added
nothing. ``rejected`` is 1 where the aggregation rule left its update out."""


def trained_by_client(rows: np.ndarray) -> np.ndarray:
    """Return the places of those of a round's participants who were trained, by client.

    The metrics of its tasks have that order. ``rows`` (n,) have ``client`` and ``outcome``.
    """
    trained = np.flatnonzero(np.isin(rows["outcome"], (Outcome.COMPLETED, Outcome.FAILED)))
    places: np.ndarray = trained[np.argsort(rows["client"][trained])]
    return places


def set_metrics(rows: np.ndarray, metrics: np.ndarray, measured: Iterable[str]) -> None:
    """Set what was measured, and the outcome FAILED, of a round's participants in place.

    Args:
        rows: Its participants (n,), structured, with ``client``, ``outcome`` and ``measured``.
        metrics: Those of its tasks (structured METRIC, in the order of the clients); empty in a run
            that trains nothing.
        measured: Names of MEASURED. They are NaN of those who did not complete.
    """
    by_client = trained_by_client(rows)
    for name in measured:
        rows[name] = np.nan
        if len(metrics):
            rows[name][by_client] = metrics[name]
    if len(metrics):
        rows["outcome"][by_client[metrics["failed"] > 0]] = Outcome.FAILED


PERSONAL = np.dtype(
    [
        ("version", "<i8"),
        ("round", "<i4"),
        ("client", "<i8"),
        ("state_round", "<i4"),
        ("kind", "<i4"),
    ]
)
"""A client that is tested with its own model after a round: the model version then, the round after
which the client last kept state (0 where it has none), and what the algorithm takes it for, which
rank 0 sets when it sends the row."""

CLIENT_TEST = np.dtype(
    [
        ("version", "<i8"),
        ("client", "<i8"),  # of the tested part; with evaluation.personal of the population
        ("device", "<i8"),  # of the trace, with evaluation.personal; else -1
        ("scored", "<i8"),
        ("correct", "<i8"),
        ("loss", "<f8"),  # their sum
    ]
)
"""The test of a model version on the samples of one client."""


MESSAGES = np.dtype(
    [
        ("round", "<i4"),
        ("sent", "<i8"),
        ("delivered", "<i8"),
        ("lost", "<i8"),
        ("refused", "<i8"),
        ("bytes", "<i8"),
        ("distance", "<f8"),
    ]
)
"""The messages of a protocol's round, and how far from their mean the reported models are."""

STATISTICS = "batch_norm"
"""The name under which clients keep their running statistics (``training.batch_norm: local``)."""

HISTORY = "aggregation.history"
"""The name under which the sum of a client's updates so far is kept, for rules that remember."""

LAST = "aggregation.last"
"""The name of what came out of an aggregation rule last, in the server's state."""


@dataclass(frozen=True)
class Tested:
    """A test of the global model: its scores by name, and the scores of single clients.

    ``clients`` (structured CLIENT_TEST) has no rows where the job does not ask for them.
    ``attack_success`` is the share of what attackers want that they got, NaN where they want
    nothing. ``diverged`` says that losses were not finite and counted as the limit.
    """

    scores: dict[str, float]
    clients: np.ndarray
    attack_success: float = math.nan
    diverged: bool = False


class Judged(NamedTuple):
    """How the contributions to a round were evaluated.

    Attributes:
        before: The utility of the model before the round.
        after: That of the model with all updates.
        evaluations: How many models were tested for it.
    """

    before: float
    after: float
    evaluations: float


NOT_JUDGED = Judged(math.nan, math.nan, 0.0)


@dataclass(frozen=True)
class RoundResult:
    """A round that is over.

    ``metrics`` (structured METRIC) are those of its tasks, in the order of the clients. ``tested``
    is the test of its model, None where none was due. ``messages`` (structured MESSAGES) has a row
    in a protocol of actors. ``stopped`` says that the server's step was not taken, because it gave
    no finite numbers. ``privacy`` is what was spent, NaN in a job without. ``judged`` says how
    contributions were evaluated, ``found`` (structured FOUND) what an algorithm without a model has
    found.
    """

    plan: Plan
    metrics: np.ndarray
    tested: Tested | None
    messages: np.ndarray = field(default_factory=lambda: np.empty(0, MESSAGES))
    stopped: bool = False
    privacy: PrivateRound = NOT_PRIVATE
    judged: Judged = NOT_JUDGED
    found: np.ndarray = field(default_factory=lambda: np.empty(0, FOUND))

    @property
    def diverged(self) -> bool:
        """Whether the model has diverged, by its step or its test."""
        return self.stopped or (self.tested is not None and self.tested.diverged)
