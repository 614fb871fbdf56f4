"""Groups of any model that torch can map over clients (torch.func)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.func import functional_call, grad_and_value, vmap

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.device import seed_torch
from mpifl.training.participant import Adjust, Participant


class VmapStack:
    """A Stack under the loop engine's SGD. The module holds what is not trained."""

    def __init__(
        self,
        model: FlatModel,
        objective: Objective,
        training: Training,
        weights: list[torch.Tensor],
    ) -> None:
        self.weights = weights
        self._model = model
        self._objective = objective
        self._training = training
        self._adjusts: Sequence[Adjust | None] = ()
        self._places = _places(model)
        self._velocity = (
            [torch.zeros_like(weight) for weight in weights] if training.momentum else None
        )
        self._step = vmap(grad_and_value(self._loss), randomness="different")

    def begin(self, group: Sequence[Participant]) -> None:
        self._model.module.train()
        seed_torch(self._model.weights.device, group[0].rng_seed())
        self._adjusts = [participant.adjust for participant in group]
        for velocity in self._velocity or ():
            velocity.zero_()

    def state(self) -> list[torch.Tensor]:
        return [*self.weights, *(self._velocity or ())]

    def _loss(
        self,
        weights: list[torch.Tensor],
        x: torch.Tensor,
        y: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of one client, to be mapped over the group."""
        parameters = {name: weights[number] for name, number in self._places}
        # Not tie_weights: with a layer that has two names, it leaves its own tensors behind in
        # the module (torch 2.13).
        output = functional_call(self._model.module, parameters, (x,), tie_weights=False)
        return self._objective.loss(output, y, mask)

    def step(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        active = len(x)
        training = self._training
        weights = [weight[:active] for weight in self.weights]
        gradients, losses = self._step(weights, x, y, *([] if mask is None else [mask]))
        if any(self._adjusts):
            gradients = self._adjusted(gradients, weights)

        for number, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            if training.weight_decay:
                gradient = gradient.add(weight, alpha=training.weight_decay)
            if self._velocity is not None:
                gradient = self._velocity[number][:active].mul_(training.momentum).add_(gradient)
            weight.sub_(gradient, alpha=training.lr)
        return losses.detach()

    def _adjusted(
        self, gradients: list[torch.Tensor], weights: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Return the gradients after the algorithm's ``adjust``, client by client.

        ``adjust`` works on flat vectors. They are copies: torch may return one tensor as the
        gradient of two parameters (an LSTM's two biases).
        """
        clients = len(weights[0])
        flat = [
            self._model.gradient.new_empty(clients, len(self._model.gradient)) for _ in range(2)
        ]
        views = [self._model.split(vector)[: len(self.weights)] for vector in flat]
        for pieces, tensors in zip(views, (gradients, weights), strict=True):
            for piece, tensor in zip(pieces, tensors, strict=True):
                piece.copy_(tensor)

        for client, adjust in enumerate(self._adjusts[:clients]):
            if adjust is not None:
                adjust(flat[0][client], flat[1][client])
        return views[0]


def _places(model: FlatModel) -> list[tuple[str, int]]:
    """Return (name in the module, number of the trained parameter) of every place in the module.

    A parameter may be in several places.
    """
    numbers = {id(parameter): number for number, parameter in enumerate(model.parameters)}
    return [
        (name, numbers[id(parameter)])
        for prefix, layer in model.module.named_modules()
        for name, parameter in layer.named_parameters(prefix, recurse=False, remove_duplicate=False)
        if id(parameter) in numbers
    ]
