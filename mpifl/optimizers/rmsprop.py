"""RMSprop: steps scaled by a running mean of squared gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.optimizers.optimizer import Optimizer, step_counts, zeros_like

if TYPE_CHECKING:
    from mpifl.optimizers.optimizer import Tensors


class RmsProp(Optimizer):
    """torch.optim.RMSprop: Hinton, Neural Networks for Machine Learning, lecture 6e, 2012.

    g += weight_decay w; s = alpha s + (1 - alpha) g^2; v = momentum v + g / (sqrt(s) + eps);
    w -= lr v. With ``centered`` s is less m^2, where m = alpha m + (1 - alpha) g (Graves, arXiv
    1308.0850, equation 40).
    """

    name: str = "rmsprop"
    alpha: float = Field(0.99, ge=0, lt=1, description="share of the last mean of squares")
    eps: float = Field(1e-8, gt=0, description="added to the root of the squares")
    momentum: float = Field(
        0.0, ge=0, lt=1, description="share of the last step; starts at 0 for every participant"
    )
    centered: bool = Field(False, description="divide by the deviation instead of the squares")
    weight_decay: float = Field(0.0, ge=0, description="pull of the weights towards 0")

    @property
    def same_steps(self) -> bool:
        return True

    def start(self, weights: Tensors) -> list[Tensors]:
        """Return the squares and, where there are any, the means and the velocities."""
        kinds = 1 + self.centered + (self.momentum > 0)
        return [zeros_like(weights) for _ in range(kinds)]

    def step(
        self, weights: Tensors, gradients: Tensors, state: list[Tensors], lr: float, number: int
    ) -> None:
        from torch.optim.rmsprop import rmsprop

        squares, *rest = state
        means = rest[0] if self.centered else []
        velocities = rest[-1] if self.momentum else []
        rmsprop(
            weights,
            gradients,
            squares,
            means,
            velocities,
            step_counts(weights, number),
            lr=lr,
            alpha=self.alpha,
            eps=self.eps,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            centered=self.centered,
        )
