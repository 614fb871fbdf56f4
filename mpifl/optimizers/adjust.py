"""Changes of a step's gradient that are the same linear function in every step.

Groups of clients can be trained as one computation with them, which they cannot with a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

AdjustFunction = Callable[["torch.Tensor", "torch.Tensor"], None]
"""Change a step's gradient in place: adjust(gradient, weights), both (trained,) float32.

Clients with one are trained alone, one after the other."""

Change = Callable[["list[torch.Tensor]", "list[torch.Tensor]"], "list[torch.Tensor]"]
"""Return changed gradients: change(gradients, weights), one tensor a parameter."""


@dataclass(frozen=True, eq=False)
class Adjust:
    """Replace a gradient g at the weights w by ``g + pull (w - towards) + add``.

    Attributes:
        pull: A factor >= 0.
        towards: Weights, (size,) float32; None is 0.
        add: A vector (size,) float32; None is 0.
    """

    pull: float = 0.0
    towards: torch.Tensor | None = None
    add: torch.Tensor | None = None


def proximal(towards: torch.Tensor, factor: float) -> Adjust:
    """Return the gradient of ``factor``/2 |w - towards|^2 as a change of gradients."""
    return Adjust(pull=factor, towards=towards)


def shift(add: torch.Tensor) -> Adjust:
    """Return the change that adds a vector (size,) to each gradient."""
    return Adjust(add=add)


def linear_change(
    towards: list[torch.Tensor] | None, add: list[torch.Tensor] | None, pull: float
) -> Change:
    """Return what an Adjust does to gradients, as a function of lists with a tensor a parameter.

    ``towards`` and ``add`` are those of the Adjust; None is 0.
    """
    import torch

    def change(gradients: list[torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
        if pull:
            away = weights if towards is None else torch._foreach_sub(weights, towards)
            gradients = list(torch._foreach_add(gradients, away, alpha=pull))
        if add is not None:
            gradients = list(torch._foreach_add(gradients, add))
        return gradients

    return change
