"""One class a sample."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mpifl.objectives.objective import IGNORED, Objective, Scores

TOP = 5


class Classification(Objective):
    """Cross-entropy; accuracy, top-5 accuracy (with more than five classes) and macro F1."""

    @property
    def counted(self) -> int:
        """In the top 5; then of each class those found, those predicted, those there are."""
        return 1 + 3 * self.outputs

    def loss(self, output: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None = None) -> torch.Tensor:
        """See Objective."""
        return cross_entropy(output, y if there is None else torch.where(there, y, IGNORED), ignore_index=IGNORED)

    def loss_and_grad(self, output: torch.Tensor, y: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See Objective. Of -log softmax: softmax, less 1 for the class that it is."""
        of_class = y.unsqueeze(-1)
        logarithms = torch.log_softmax(output, -1)
        losses = -(logarithms.gather(-1, of_class).squeeze(-1) * share).sum(-1)
        gradient = logarithms.exp_()
        gradient.add_(torch.arange(output.shape[-1], device=y.device) == of_class, alpha=-1)
        return losses, gradient.mul_(share.unsqueeze(-1))

    def score(self, output: torch.Tensor, y: torch.Tensor) -> Scores:
        """See Objective."""
        predicted = output.argmax(1)
        correct = predicted == y
        top = output.topk(min(TOP, self.outputs), dim=1).indices
        in_top = (top == y[:, None]).any(1).sum()
        classes = [torch.bincount(of, minlength=self.outputs) for of in (y[correct], predicted, y)]
        loss = cross_entropy(output, y, reduction="none").double()
        return Scores(torch.ones_like(y), correct.long(), loss, torch.cat([in_top[None], *classes]))

    def metrics(self, scored: int, correct: int, loss: float, counts: np.ndarray) -> dict[str, float]:
        """See Objective. F1 of a class that is neither predicted nor there does not count (scikit-learn's default labels)."""
        found, predicted, there = counts[1:].reshape(3, self.outputs)
        either = predicted + there > 0
        f1 = float(np.mean(2 * found[either] / (predicted + there)[either]))
        top = {"top5": int(counts[0]) / scored} if self.outputs > TOP else {}
        return {"accuracy": correct / scored, **top, "f1": f1, "loss": loss}
