"""Stacks of linear layers with ReLU between, differentiated by hand: batched products of matrices, and nothing else.

The step is part of the product that makes the gradient, W <- W - lr delta^T x: no gradient is ever written to memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.participant import Participant


def is_linear(model: FlatModel, objective: Objective) -> bool:
    """Whether a model is such a stack, all of it trained, on a task whose loss is differentiated by hand."""
    module = model.module
    if (
        type(module) is not nn.Sequential
        or type(objective).loss_and_grad is Objective.loss_and_grad
        or len(model.tensors) != len(model.parameters)
    ):
        return False
    layers = [layer for layer in module if type(layer) is not nn.Identity]
    if layers and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers = layers[1:]
    kinds = [type(layer) for layer in layers]
    if len(kinds) % 2 == 0 or kinds != [nn.Linear, nn.ReLU] * (len(kinds) // 2) + [nn.Linear]:
        return False
    # Each layer has weights of its own: none that two layers share, none that are made of others (torch's weight_norm).
    own = [weight for layer in layers[::2] for weight in (layer.weight, layer.bias) if weight is not None]
    return len(own) == len(model.parameters) and all(a is b for a, b in zip(own, model.parameters, strict=True))


class LinearStack:
    """See Stack; plain SGD."""

    def __init__(self, model: FlatModel, objective: Objective, lr: float, weights: list[torch.Tensor]) -> None:
        self.weights, self._objective, self._lr = weights, objective, lr
        layers = [layer for layer in model.module.modules() if isinstance(layer, nn.Linear)]
        pieces = iter(weights)
        self._layers = [(next(pieces), None if layer.bias is None else next(pieces).unsqueeze(1)) for layer in layers]

    def begin(self, group: Sequence[Participant]) -> None:
        """See Stack. There is nothing but the weights, and nothing is drawn or corrected."""

    def state(self) -> list[torch.Tensor]:
        """See Stack."""
        return self.weights

    def step(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """See Stack."""
        active, output = len(x), x.flatten(2)
        inputs: list[torch.Tensor] = []
        for weight, bias in self._layers:
            inputs.append(output.relu_() if inputs else output)
            turned = weight[:active].transpose(1, 2)
            output = torch.bmm(inputs[-1], turned) if bias is None else torch.baddbmm(bias[:active], inputs[-1], turned)
        share = x.new_full((1, 1), 1 / x.shape[1]) if mask is None else mask / mask.sum(1, keepdim=True)
        found = self._objective.loss_and_grad(output, y, share)
        assert found is not None
        losses, grad = found
        for number in range(len(self._layers) - 1, -1, -1):
            weight, bias = self._layers[number]
            below = torch.bmm(grad, weight[:active]).mul_(inputs[number] > 0) if number else grad
            weight[:active].baddbmm_(grad.transpose(1, 2), inputs[number], alpha=-self._lr)
            if bias is not None:
                bias[:active].sub_(grad.sum(1, keepdim=True), alpha=self._lr)
            grad = below
        return losses
