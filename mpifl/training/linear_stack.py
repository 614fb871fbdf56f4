"""Groups of models of linear layers with ReLU between them, differentiated by hand.

A step is batched matrix products and nothing else. The update is part of the product that makes
the gradient, W <- W - lr delta^T x, so that no gradient is ever written to memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.participant import Participant


def is_linear(model: FlatModel, objective: Objective) -> bool:
    """Return whether LinearStack can train the model.

    It can when the module is linear layers with ReLU between them, all of it is trained, and the
    objective implements ``loss_and_grad``.
    """
    module = model.module
    if (
        type(module) is not nn.Sequential
        or type(objective).loss_and_grad is Objective.loss_and_grad
        or len(model.tensors) != len(model.parameters)
    ):
        return False

    layers = [layer for layer in module if type(layer) is not nn.Identity]
    if (
        layers
        and type(layers[0]) is nn.Flatten
        and (layers[0].start_dim, layers[0].end_dim) == (1, -1)
    ):
        layers = layers[1:]
    kinds = [type(layer) for layer in layers]
    if len(kinds) % 2 == 0 or kinds != [nn.Linear, nn.ReLU] * (len(kinds) // 2) + [nn.Linear]:
        return False

    # Each layer must have its own weights: none that two layers share, none that are computed
    # from others (torch's weight_norm).
    own = [
        weight
        for layer in layers[::2]
        for weight in (layer.weight, layer.bias)
        if weight is not None
    ]
    return len(own) == len(model.parameters) and all(
        weight is parameter for weight, parameter in zip(own, model.parameters, strict=True)
    )


class LinearStack:
    """A Stack of linear layers under plain SGD."""

    def __init__(
        self, model: FlatModel, objective: Objective, lr: float, weights: list[torch.Tensor]
    ) -> None:
        self.weights = weights
        self._objective = objective
        self._lr = lr
        layers = [layer for layer in model.module.modules() if isinstance(layer, nn.Linear)]
        pieces = iter(weights)
        self._layers = [
            (next(pieces), None if layer.bias is None else next(pieces).unsqueeze(1))
            for layer in layers
        ]

    def begin(self, group: Sequence[Participant]) -> None:
        """Do nothing: nothing is drawn, and gradients are not adjusted."""

    def state(self) -> list[torch.Tensor]:
        return self.weights

    def step(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        active = len(x)
        output = x.flatten(2)
        inputs: list[torch.Tensor] = []
        for weight, bias in self._layers:
            inputs.append(output.relu_() if inputs else output)
            transposed = weight[:active].transpose(1, 2)
            output = (
                torch.bmm(inputs[-1], transposed)
                if bias is None
                else torch.baddbmm(bias[:active], inputs[-1], transposed)
            )

        share = (
            x.new_full((1, 1), 1 / x.shape[1]) if mask is None else mask / mask.sum(1, keepdim=True)
        )
        differentiated = self._objective.loss_and_grad(output, y, share)
        assert differentiated is not None
        losses, grad = differentiated

        for number in range(len(self._layers) - 1, -1, -1):
            weight, bias = self._layers[number]
            below = torch.bmm(grad, weight[:active]).mul_(inputs[number] > 0) if number else grad
            weight[:active].baddbmm_(grad.transpose(1, 2), inputs[number], alpha=-self._lr)
            if bias is not None:
                bias[:active].sub_(grad.sum(1, keepdim=True), alpha=self._lr)
            grad = below
        return losses
