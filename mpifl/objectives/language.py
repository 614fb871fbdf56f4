"""The next token of a sequence."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mpifl.objectives.objective import NOT_THERE, Judged, Task


class Language(Task):
    """Cross-entropy of each token after those before it; accuracy and perplexity."""

    def loss(self, output: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None = None) -> torch.Tensor:
        """See Task."""
        if there is not None:
            y = torch.where(there[:, None], y, NOT_THERE)
        return cross_entropy(output.flatten(0, 1), y.flatten(), ignore_index=NOT_THERE)

    def scored(self, y: torch.Tensor) -> torch.Tensor:
        """See Task."""
        return (y != NOT_THERE).sum()

    def scored_each(self, y: torch.Tensor, there: torch.Tensor | None, counts: np.ndarray) -> torch.Tensor:
        """See Task."""
        counted = y != NOT_THERE
        return (counted if there is None else counted & there.unsqueeze(-1)).flatten(1).sum(1)

    def judge(self, output: torch.Tensor, y: torch.Tensor) -> Judged:
        """See Task."""
        there = y != NOT_THERE
        correct = (output.argmax(2) == y) & there
        loss = cross_entropy(output.flatten(0, 1), y.flatten(), reduction="none", ignore_index=NOT_THERE)
        return Judged(there.sum(1), correct.sum(1), loss.view(y.shape).double().sum(1), there.new_empty(0, dtype=torch.int64))

    def scores(self, scored: int, correct: int, loss: float, counts: np.ndarray) -> dict[str, float]:
        """See Task. The perplexity is e to the mean loss; infinite where that is beyond a float."""
        return {"accuracy": correct / scored, "perplexity": math.exp(loss) if loss < 700 else math.inf, "loss": loss}
