"""What a task is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

IGNORED = -100
"""A target that does not count: beyond the end of a sequence, or of a batch. torch's own default of what to leave out."""


class Scores(NamedTuple):
    """The test of a batch, sample by sample: each (samples,).

    ``scored`` int64 things that were predicted, ``correct`` int64 of them right (0 where a task has no right and wrong),
    ``loss`` float64 their losses added up. ``counts`` int64 are the task's own, added up over the batch.
    """

    scored: torch.Tensor
    correct: torch.Tensor
    loss: torch.Tensor
    counts: torch.Tensor


@dataclass(frozen=True)
class Objective:
    """Base of the tasks. ``outputs`` are those of the data set."""

    outputs: int

    @property
    def counted(self) -> int:
        """How many ``counts`` a test has."""
        return 0

    def loss(self, output: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The mean loss of a batch, to be differentiated; of the samples that are ``mask`` (samples,) bool, if not of all."""
        raise NotImplementedError

    def loss_and_grad(
        self, output: torch.Tensor, y: torch.Tensor, share: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The same for several models at once, differentiated by hand; None where that is not written out.

        From outputs (models, samples, outputs), targets (models, samples, ...) and each sample's share of its model's mean,
        (models, samples) or (1, 1), to losses (models,) and the gradient, of the shape of the outputs.
        """
        return None

    def scored(self, y: torch.Tensor) -> int | torch.Tensor:
        """How many things ``loss`` is the mean of; one that has to be counted stays where y is."""
        return len(y)

    def scored_each(self, y: torch.Tensor, mask: torch.Tensor | None, counts: np.ndarray) -> np.ndarray | torch.Tensor:
        """The same for several models, (models,); of targets (models, samples, ...) ``counts`` (models,) are ``mask``."""
        return counts

    def score(self, output: torch.Tensor, y: torch.Tensor) -> Scores:
        """The test of a batch."""
        raise NotImplementedError

    def metrics(self, scored: int, correct: int, loss: float, counts: np.ndarray) -> dict[str, float]:
        """What people call the result: from sums over all samples, and the mean loss. Names are columns of /rounds."""
        raise NotImplementedError
