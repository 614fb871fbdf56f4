"""The objective of survival analysis: who has the event first."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError, counted
from mpifl.objectives.objective import Objective, Scores


class Survival(Objective):
    """Cox's partial likelihood; the concordance index.

    Data are those of a regression with two columns: the time, and 1 where the event came then or 0
    where the sample was last seen without it (censored). The model has one output, the logarithm of
    the risk. The loss of a sample with an event is the negative logarithm of its share in the risk
    of all samples of its batch that were still there (Cox 1972; ties after Breslow), that of a
    censored one 0, so that the batch size matters. The concordance index is Harrell's over all test
    samples at once: of all pairs of which it is known who came first, the share in which that one
    has the higher risk; equal risks count half.
    """

    tasks = ("regression",)
    measures = MappingProxyType({"concordance": "Harrell's index; NaN when not tested"})

    name: str = "survival"

    @property
    def gathered(self) -> int:
        """Of a sample the output, the time, and whether the event came."""
        return 3

    def check(self, data: DataShape) -> None:
        if data.outputs != 2:
            raise InputError(
                "objective.name: 'survival' is not allowed: the targets have"
                f" {counted(data.outputs, 'column')}; allowed: two, the time and whether the event"
                " came"
            )

    def model_shape(self, data: DataShape) -> DataShape:
        return replace(data, outputs=1)

    def loss(
        self, output: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if mask is None:
            return self.sample_losses(output, y).mean()
        risk = torch.where(mask.unsqueeze(-1), output, -math.inf)
        event = torch.where(mask, y[..., 1], 0)
        return _losses(risk, y[..., 0], event).sum() / mask.sum()

    def sample_losses(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return _losses(output, y[..., 0], y[..., 1])

    def score(self, output: torch.Tensor, y: torch.Tensor) -> Scores:
        ones = torch.ones(len(y), dtype=torch.int64, device=y.device)
        rows = torch.cat([output, y], 1).double()
        loss = self.sample_losses(output, y).double()
        return Scores(ones, torch.zeros_like(ones), loss, ones[:0], rows)

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        """Return concordance and loss."""
        return {"concordance": concordance(*rows.T), "loss": loss}


def _losses(output: torch.Tensor, time: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
    """Return the loss of each sample (..., samples), of outputs (..., samples, 1)."""
    risk = output.squeeze(-1)
    there = time.unsqueeze(-2) >= time.unsqueeze(-1)
    risks = torch.where(there, risk.unsqueeze(-2), -math.inf)
    came = event > 0
    # Where no event came, nobody may be there: the gradient of the sum would not be a number.
    risks = torch.where(came.unsqueeze(-1), risks, 0)
    return torch.where(came, risks.logsumexp(-1) - risk, 0)


def concordance(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Return Harrell's concordance index of samples (n,) each.

    It is NaN where no pair can be compared, and where a risk is not finite.

    A pair can be compared where one had the event and the other was there after it, or was
    censored at that very time. It takes O(n) memory and O(n^2) time.
    """
    if not np.isfinite(risk).all():
        return math.nan
    right = 0.0
    pairs = 0
    for place in np.flatnonzero(event > 0):
        later = (time > time[place]) | ((time == time[place]) & (event <= 0))
        others = risk[later]
        right += (others < risk[place]).sum() + 0.5 * (others == risk[place]).sum()
        pairs += len(others)
    return float(right / pairs) if pairs else math.nan
