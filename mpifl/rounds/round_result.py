"""What training and testing give for a plan (``plan.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mpifl.clock.timeline import Outcome
from mpifl.rounds.plan import Plan

LOSSES = ("loss", "squared_loss", "last_squared_loss")
"""What is measured of a task's training, see LocalResult."""

METRIC = np.dtype(
    [
        ("round", "<i4"),
        ("client", "<i8"),
        ("steps", "<i8"),
        *[(name, "<f8") for name in LOSSES],
        ("slot", "<i4"),
        ("failed", "<u1"),
    ]
)
"""A task's local steps as they were made, its training losses, and the slot of the sums that its
upload went into; or 1 in ``failed`` where its training failed and added nothing."""


def set_metrics(rows: np.ndarray, metrics: np.ndarray, losses: Iterable[str]) -> None:
    """Set losses, and the outcome FAILED, of a round's participants in place.

    Args:
        rows: Its participants (n,), structured, with ``client``, ``outcome`` and ``losses``.
        metrics: Those of its tasks (structured METRIC, in the order of the clients); empty in a run
            that trains nothing.
        losses: Names of LOSSES. They are NaN of those who did not complete.
    """
    completed = np.flatnonzero(rows["outcome"] == Outcome.COMPLETED)
    by_client = completed[np.argsort(rows["client"][completed])]
    for name in losses:
        rows[name] = np.nan
        if len(metrics):
            rows[name][by_client] = metrics[name]
    if len(metrics):
        rows["outcome"][by_client[metrics["failed"] > 0]] = Outcome.FAILED


PERSONAL = np.dtype(
    [("version", "<i8"), ("round", "<i4"), ("client", "<i8"), ("state_round", "<i4")]
)
"""A client that is tested with its own model after a round: the model version then, and the round
after which the client last kept state; 0 where it has none."""

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


STATISTICS = "batch_norm"
"""The name under which clients keep their running statistics (``training.batch_norm: local``)."""


@dataclass(frozen=True)
class Tested:
    """A test of the global model: its scores by name, and the scores of single clients.

    ``clients`` (structured CLIENT_TEST) has no rows where the job does not ask for them.
    """

    scores: dict[str, float]
    clients: np.ndarray


@dataclass(frozen=True)
class RoundResult:
    """A round that is over.

    ``metrics`` (structured METRIC) are those of its tasks, in the order of the clients. ``tested``
    is the test of its model, None where none was due.
    """

    plan: Plan
    metrics: np.ndarray
    tested: Tested | None
