"""What comes back of a plan: the other half of ``plan.py``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.plan import Plan

METRIC = np.dtype([("round", "<i4"), ("client", "<i8"), ("loss", "<f8")])
"""What rank 0 learns of each participant: its mean training loss."""


@dataclass(frozen=True)
class Tested:
    """A test of the global model: share of ``samples`` classified right, and mean loss."""

    samples: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class RoundResult:
    """A round that is over: its plan, the training loss of each task by client, and the test if one was due."""

    plan: Plan
    metrics: np.ndarray
    tested: Tested | None
