"""FedProx: federated averaging with a proximal term that keeps clients near the global model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.algorithms.algorithm import ClientContext
from mpifl.algorithms.fedavg import FedAvg

if TYPE_CHECKING:
    import torch


class FedProx(FedAvg):
    """Li et al., arXiv 1812.06127: each client minimises its loss + mu/2 |w - w_global|^2."""

    name: str = "fedprox"
    mu: float = Field(0.01, ge=0, description="weight of the proximal term")

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        gradient.add_(weights - context.sent["model"][: len(weights)], alpha=self.mu)
