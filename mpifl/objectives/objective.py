"""The base class of objectives: what a task's loss is and how a test is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

IGNORED = -100
"""A target that does not count: behind the end of a sequence or of a batch.

It is torch's default ``ignore_index``.
"""


class Scores(NamedTuple):
    """The test of a batch, sample by sample.

    Attributes:
        scored: Predictions of each sample, (samples,) int64.
        correct: How many of them are right, (samples,) int64; 0 where a task has no right answer.
        loss: The sum of their losses, (samples,) float64.
        counts: The task's own counts, summed over the batch, (counted,) int64.
    """

    scored: torch.Tensor
    correct: torch.Tensor
    loss: torch.Tensor
    counts: torch.Tensor


@dataclass(frozen=True)
class Objective:
    """The loss and the scores of a task.

    Attributes:
        outputs: The outputs of the data set: classes, or the numbers of a regression.
    """

    outputs: int

    @property
    def counted(self) -> int:
        """The length of ``Scores.counts``."""
        return 0

    def loss(
        self, output: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, to be differentiated by torch.

        Args:
            output: The model's outputs, (samples, ..., outputs) float32.
            y: The targets, (samples, ...).
            mask: Which samples count, (samples,) bool; None when all do.

        Returns:
            A scalar tensor.
        """
        raise NotImplementedError

    def sample_losses(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of each sample, of which ``loss`` is the mean.

        Args:
            output: The outputs of one model (samples, ..., outputs), or of several (models,
                samples, ..., outputs).
            y: Their targets.

        Returns:
            (samples,) or (models, samples). A sample with several predictions has their mean, one
            without any 0.
        """
        raise NotImplementedError

    def loss_and_grad(
        self, output: torch.Tensor, y: torch.Tensor, share: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return the mean losses of several models and their gradients, differentiated by hand.

        Args:
            output: The models' outputs, (models, samples, outputs) float32.
            y: The targets, (models, samples, ...).
            share: Each sample's share of its model's mean, (models, samples) or (1, 1).

        Returns:
            The losses (models,) and the gradient of their sum, of the shape of ``output``; None
            for an objective that does not implement this.
        """
        return None

    def scored(self, y: torch.Tensor) -> int | torch.Tensor:
        """Return the number of predictions that ``loss`` is the mean of.

        Args:
            y: The targets of a batch.

        Returns:
            An int, or a scalar tensor on the device of ``y`` where the number has to be counted.
        """
        return len(y)

    def scored_each(
        self, y: torch.Tensor, mask: torch.Tensor | None, counts: np.ndarray
    ) -> np.ndarray | torch.Tensor:
        """Return the number of predictions behind each of several models' mean losses, (models,).

        Args:
            y: The targets, (models, samples, ...).
            mask: Which samples count, (models, samples) bool; None when all do.
            counts: How many samples of each model count, (models,) int64.
        """
        return counts

    def score(self, output: torch.Tensor, y: torch.Tensor) -> Scores:
        """Return the test of a batch.

        Args:
            output: The model's outputs, (samples, ..., outputs) float32.
            y: The targets, (samples, ...).
        """
        raise NotImplementedError

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray
    ) -> dict[str, float]:
        """Return the scores of a whole test by name; names are columns of /rounds.

        Args:
            scored: The number of predictions tested.
            correct: How many of them are right.
            loss: The mean loss over them.
            counts: ``Scores.counts`` summed over all batches, (counted,) int64.
        """
        raise NotImplementedError
