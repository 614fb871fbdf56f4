"""What a task is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

NOT_THERE = -100
"""A target that does not count: beyond the end of a sequence, or of a batch. torch's own default of what to leave out."""


class Judged(NamedTuple):
    """The test of a batch, sample by sample: each (samples,).

    ``scored`` int64 things that were predicted, ``correct`` int64 of them right (0 where a task has no right and wrong),
    ``loss`` float64 their losses added up. ``counts`` int64 are the task's own, added up over the batch.
    """

    scored: torch.Tensor
    correct: torch.Tensor
    loss: torch.Tensor
    counts: torch.Tensor


@dataclass(frozen=True)
class Task:
    """Base of the tasks: a loss, and the scores of a test. ``outputs`` is the number of outputs of the data set."""

    outputs: int

    @property
    def counted(self) -> int:
        """Return the length of ``counts``."""
        return 0

    def loss(self, output: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mean loss of a batch, a tensor () to differentiate.

        Args:
            output: Outputs of the model, (samples, ...).
            y: Targets, (samples, ...).
            there: Mask (samples,) bool of the samples that count; None: all of them.
        """
        raise NotImplementedError

    def slope(self, output: torch.Tensor, y: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return loss and gradient of several models at once; None where that is not implemented.

        Args:
            output: (models, samples, outputs).
            y: Targets, (models, samples, ...).
            share: Share of each sample in its model's mean, (models, samples) or (1, 1).

        Returns:
            Losses (models,), and the gradient with respect to the outputs, of their shape.
        """
        return None

    def scored(self, y: torch.Tensor) -> int | torch.Tensor:
        """Return the number of predictions that ``loss`` is the mean of: an int, or a tensor on the device of y."""
        return len(y)

    def scored_each(self, y: torch.Tensor, there: torch.Tensor | None, counts: np.ndarray) -> np.ndarray | torch.Tensor:
        """Return the same for several models, (models,). ``counts`` (models,) are the samples of each that count."""
        return counts

    def judge(self, output: torch.Tensor, y: torch.Tensor) -> Judged:
        """Return the sums of the test of a batch, sample by sample."""
        raise NotImplementedError

    def scores(self, scored: int, correct: int, loss: float, counts: np.ndarray) -> dict[str, float]:
        """Return scores by name, columns of /rounds, from sums over all samples and the mean loss."""
        raise NotImplementedError
