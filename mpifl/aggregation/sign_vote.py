"""signSGD with majority vote: of each coordinate only the sign that most updates have."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates, summed


class SignVote(Aggregation):
    """An aggregation rule: a step by the sign of most updates (Bernstein et al., ICLR 2019).

    Each update votes with the sign of each coordinate (arXiv 1810.05291, algorithm 1). The result
    is ``step`` times the sign of the sum of votes, 0 on a tie; without ``step`` it is the median of
    the coordinate's sizes, so that it shrinks as training converges. Weights do not count. Averaged
    buffers, which have no sign to vote on, are averaged.
    """

    by_entry: ClassVar[bool] = True
    of_changes: ClassVar[bool] = True

    name: str = "sign_vote"
    step: float | None = Field(
        None, gt=0, description="size of the step of every coordinate; default: the median size"
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        own = updates.weights / updates.weights.sum()
        return updates.columns(
            lambda columns: vote(columns, self.step), averaged=lambda block: summed(block, own)
        )


def vote(columns: np.ndarray, step: float | None) -> np.ndarray:
    """Return the sign of most of each column (n, width) times a size: ``step``, or their median."""
    sign: np.ndarray = np.sign(np.sign(columns).sum(axis=0, dtype=np.float64))
    if step is not None:
        return sign * step
    sizes = np.sort(np.abs(columns), axis=0).astype(np.float64)
    middle: np.ndarray = (sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) / 2
    return sign * middle
