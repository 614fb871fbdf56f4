"""AdamW: Adam whose weight decay is no part of the gradient."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from mpifl.optimizers.adam import Adam


class AdamW(Adam):
    """torch.optim.AdamW: Loshchilov and Hutter, arXiv 1711.05101, algorithm 2.

    A step is w -= lr weight_decay w, and then Adam's without weight decay.
    """

    name: str = "adamw"
    weight_decay: float = Field(0.01, ge=0, description="pull of the weights towards 0")

    def _function(self) -> Callable[..., None]:
        from torch.optim.adamw import adamw

        return adamw
