"""What comes back of a plan: the other half of ``plan.py``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.rounds.plan import Plan

METRIC = np.dtype([("round", "<i4"), ("client", "<i8"), ("loss", "<f8"), ("failed", "<u1")])
"""What rank 0 learns of each participant: its mean training loss; or that its training failed, and added nothing."""


CLIENT_TEST = np.dtype(
    [("version", "<i8"), ("client", "<i8"), ("scored", "<i8"), ("correct", "<i8"), ("loss", "<f8")]
)
"""The test of a model version on some samples of one client of the tested part; loss is the sum of theirs."""


@dataclass(frozen=True)
class Tested:
    """A test of the global model: its scores by name, and if they were asked for those of each client (CLIENT_TEST)."""

    scores: dict[str, float]
    clients: np.ndarray


@dataclass(frozen=True)
class RoundResult:
    """A round that is over: its plan, the training loss of each task by client, and the test if one was due."""

    plan: Plan
    metrics: np.ndarray
    tested: Tested | None
