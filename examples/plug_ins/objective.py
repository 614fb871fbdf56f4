"""An objective of your own: regression with Huber's loss, which outliers move less."""

from __future__ import annotations

import torch
from torch.nn.functional import huber_loss

from mpifl.objectives.regression import Regression


class Huber(Regression):
    """Huber's loss with threshold 1; scored by mean squared error and its root, as regressions."""

    def loss(
        self, output: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, (); with a mask (samples,), of the samples in it."""
        if mask is None:
            return huber_loss(output, y)
        of_sample = huber_loss(output, y, reduction="none").mean(1)
        return (of_sample * mask).sum() / mask.sum()

    def loss_and_grad(
        self, output: torch.Tensor, y: torch.Tensor, share: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss (models,) and gradient (models, samples, outputs) of several models."""
        difference = output - y
        of_sample = huber_loss(output, y.expand_as(output), reduction="none").mean(-1)
        gradient = difference.clamp(-1, 1) / self.outputs * share.unsqueeze(-1)
        return (of_sample * share).sum(-1), gradient
