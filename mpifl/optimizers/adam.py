"""Adam: steps scaled by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.optimizers.optimizer import Optimizer, step_counts, zeros_like

if TYPE_CHECKING:
    from mpifl.optimizers.optimizer import Tensors


class Adam(Optimizer):
    """torch.optim.Adam: Kingma and Ba, arXiv 1412.6980, algorithm 1.

    In step t (from 1 on): g += weight_decay w; m = beta_1 m + (1 - beta_1) g;
    v = beta_2 v + (1 - beta_2) g^2; w -= lr m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + eps).
    With ``amsgrad`` the largest v so far takes the place of v (Reddi et al., arXiv 1904.09237).
    """

    name: str = "adam"
    beta_1: float = Field(0.9, ge=0, lt=1, description="share of the last mean of gradients")
    beta_2: float = Field(0.999, ge=0, lt=1, description="share of the last mean of squares")
    eps: float = Field(1e-8, gt=0, description="added to the root of the squares")
    weight_decay: float = Field(0.0, ge=0, description="pull of the weights towards 0")
    amsgrad: bool = Field(False, description="divide by the largest mean of squares so far")

    def start(self, weights: Tensors) -> list[Tensors]:
        return [zeros_like(weights) for _ in range(3 if self.amsgrad else 2)]

    def step(
        self, weights: Tensors, gradients: Tensors, state: list[Tensors], lr: float, number: int
    ) -> None:
        means, squares, *largest = state
        self._function()(
            weights,
            gradients,
            means,
            squares,
            largest[0] if largest else [],
            step_counts(weights, number),
            amsgrad=self.amsgrad,
            beta1=self.beta_1,
            beta2=self.beta_2,
            lr=lr,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )

    def _function(self) -> Callable[..., None]:
        """Return torch's step."""
        from torch.optim.adam import adam

        return adam
