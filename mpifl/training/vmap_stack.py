"""Groups of any model that torch can map over clients (torch.func)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.func import functional_call, grad_and_value, vmap

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.optimizers.adjust import linear_change
from mpifl.training.device import seed_torch
from mpifl.training.linear_stack import linear_adjust
from mpifl.training.participant import Participant
from mpifl.training.recipe import Recipe, clipped, numbers_of
from mpifl.training.stack import MOST_KINDS, stacked_vectors

Tensors = list[torch.Tensor]
Shapes = tuple[tuple[torch.Size, ...], ...]


class VmapStack:
    """A Stack with the loop engine's steps. The module holds what is fixed."""

    def __init__(self, model: FlatModel, objective: Objective, weights: Tensors) -> None:
        self.weights = weights
        self._model = model
        self._objective = objective
        self._places = _places(model)
        self._recipe: Recipe | None = None
        self._numbers: list[int] = []
        self._optimizer_states: dict[Shapes, list[Tensors]] = {}
        self._optimizer_state: list[Tensors] = []
        self._towards: Tensors | None = None
        self._add: Tensors | None = None
        self._pull = 0.0
        self._differentiate: Callable[..., tuple[Tensors, torch.Tensor]] = vmap(
            grad_and_value(self._loss), randomness="different"
        )
        self._with_squares: Callable[..., tuple[Tensors, tuple[torch.Tensor, torch.Tensor]]] = vmap(
            grad_and_value(self._loss_and_squares, has_aux=True), randomness="different"
        )

    def begin(self, recipe: Recipe, group: Sequence[Participant]) -> None:
        """Set the generators, the optimizer's state and the adjustments."""
        self._model.module.train()
        seed_torch(self._model.weights.device, group[0].rng_seed())
        self._recipe = recipe
        self._numbers = numbers_of(
            self._model.names[: len(self._model.parameters)], recipe.trainable
        )
        self._start_optimizer(recipe)

        adjusts = [linear_adjust(participant) for participant in group]
        self._pull = adjusts[0].pull
        self._towards = self._picked(
            stacked_vectors(self._model, [adjust.towards for adjust in adjusts])
        )
        self._add = self._picked(stacked_vectors(self._model, [adjust.add for adjust in adjusts]))

    def _start_optimizer(self, recipe: Recipe) -> None:
        """Set the optimizer's state, in the same memory as before for the same shapes.

        A captured step (``graphs.py``) works on that memory.
        """
        fresh = recipe.optimizer.start([self.weights[number] for number in self._numbers])
        shapes = tuple(tuple(tensor.shape for tensor in tensors) for tensors in fresh)
        known = self._optimizer_states.get(shapes)
        if known is not None:
            for old, new in zip(known, fresh, strict=True):
                torch._foreach_copy_(old, new)
        else:
            if len(self._optimizer_states) == MOST_KINDS:
                self._optimizer_states.clear()
            self._optimizer_states[shapes] = fresh
        self._optimizer_state = self._optimizer_states[shapes]

    def state(self) -> Tensors:
        return [*self.weights, *(tensor for row in self._optimizer_state for tensor in row)]

    def step(
        self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, number: int
    ) -> torch.Tensor:
        assert self._recipe is not None
        active = len(x)
        weights = _first(self.weights, active)
        trained = [weights[number] for number in self._numbers]
        batch = trained, weights, x, y, *([] if mask is None else [mask])
        if self._recipe.squares:
            gradients, both = self._with_squares(*batch)
            losses = torch.stack(both)
        else:
            gradients, losses = self._differentiate(*batch)

        gradients = list(gradients)
        if self._pull or self._add is not None:
            towards, add = (
                None if vectors is None else _first(vectors, active)
                for vectors in (self._towards, self._add)
            )
            gradients = linear_change(towards, add, self._pull)(gradients, trained)
        gradients = clipped(self._recipe, gradients, active)
        state = [_first(tensors, active) for tensors in self._optimizer_state]
        self._recipe.optimizer.step(trained, gradients, state, self._recipe.lr_of(number), number)
        return losses.detach()

    def _loss(
        self,
        trained: Tensors,
        weights: Tensors,
        x: torch.Tensor,
        y: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of one client, to be mapped over the group."""
        return self._objective.loss(self._output(trained, weights, x), y, mask)

    def _loss_and_squares(
        self,
        trained: Tensors,
        weights: Tensors,
        x: torch.Tensor,
        y: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of one client, and the mean of its samples' squared losses."""
        output = self._output(trained, weights, x)
        squares = self._objective.sample_losses(output.detach(), y).square()
        mean = squares.mean() if mask is None else (squares * mask).sum() / mask.sum()
        return self._objective.loss(output, y, mask), mean

    def _output(self, trained: Tensors, weights: Tensors, x: torch.Tensor) -> torch.Tensor:
        """Return what the model of one client puts out."""
        current = list(weights)
        for number, weight in zip(self._numbers, trained, strict=True):
            current[number] = weight
        parameters = {name: current[number] for name, number in self._places}
        # Not tie_weights: with a layer that has two names, it leaves its own tensors behind in
        # the module (torch 2.13).
        output: torch.Tensor = functional_call(
            self._model.module, parameters, (x,), tie_weights=False
        )
        return output

    def _picked(self, tensors: Tensors | None) -> Tensors | None:
        return None if tensors is None else [tensors[number] for number in self._numbers]


def _first(tensors: Sequence[torch.Tensor], clients: int) -> Tensors:
    return [tensor[:clients] for tensor in tensors]


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
