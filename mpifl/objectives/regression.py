"""Numbers to predict."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import mse_loss

from mpifl.objectives.objective import Judged, Task


class Regression(Task):
    """Mean squared error, over the numbers of a sample too; its root."""

    def loss(self, output: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None = None) -> torch.Tensor:
        """See Task."""
        if there is None:
            return mse_loss(output, y)
        return (mse_loss(output, y, reduction="none").mean(1) * there).sum() / there.sum()

    def slope(self, output: torch.Tensor, y: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See Task."""
        difference = output - y
        losses = (difference.square().mean(-1) * share).sum(-1)
        return losses, difference.mul_(2 / self.outputs).mul_(share.unsqueeze(-1))

    def judge(self, output: torch.Tensor, y: torch.Tensor) -> Judged:
        """See Task."""
        one = torch.ones(len(y), dtype=torch.int64, device=y.device)
        loss = mse_loss(output, y, reduction="none").double().mean(1)
        return Judged(one, torch.zeros_like(one), loss, one[:0])

    def scores(self, scored: int, correct: int, loss: float, counts: np.ndarray) -> dict[str, float]:
        """See Task."""
        return {"rmse": math.sqrt(loss), "loss": loss}
