"""Adagrad: steps scaled by the sum of all squared gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.optimizers.optimizer import Optimizer, step_counts

if TYPE_CHECKING:
    from mpifl.optimizers.optimizer import Tensors


class Adagrad(Optimizer):
    """torch.optim.Adagrad: Duchi et al., Journal of Machine Learning Research 12, 2011.

    In step t (from 0 on): g += weight_decay w; s += g^2;
    w -= lr / (1 + rate_decay t) g / (sqrt(s) + eps).
    """

    name: str = "adagrad"
    rate_decay: float = Field(0.0, ge=0, description="how fast lr falls: torch's lr_decay")
    initial_accumulator: float = Field(0.0, ge=0, description="s before the first step")
    eps: float = Field(1e-10, gt=0, description="added to the root of s")
    weight_decay: float = Field(0.0, ge=0, description="pull of the weights towards 0")

    @property
    def same_steps(self) -> bool:
        return not self.rate_decay

    def start(self, weights: Tensors) -> list[Tensors]:
        import torch

        return [[torch.full_like(weight, self.initial_accumulator) for weight in weights]]

    def step(
        self, weights: Tensors, gradients: Tensors, state: list[Tensors], lr: float, number: int
    ) -> None:
        from torch.optim.adagrad import adagrad

        (sums,) = state
        adagrad(
            weights,
            gradients,
            sums,
            step_counts(weights, number),
            lr=lr,
            weight_decay=self.weight_decay,
            lr_decay=self.rate_decay,
            eps=self.eps,
            maximize=False,
        )
