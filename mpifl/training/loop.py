"""The loop engine: the local steps of one client after the other, by torch's autograd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.optimizers.adjust import Adjust, AdjustFunction, Change, linear_change
from mpifl.training.device import fetched, seed_torch
from mpifl.training.participant import LocalResult, Loss, Participant, minibatches
from mpifl.training.recipe import Recipe, clipped, numbers_of
from mpifl.transforms.transform import Mixture

Targets = torch.Tensor | Mixture
Batches = Iterator[tuple[torch.Tensor, Targets]]
Losses = Iterator[tuple[torch.Tensor, int | torch.Tensor]]
"""For each step its mean loss, and the number of predictions that it is the mean of."""


@dataclass(frozen=True)
class Loop:
    """An Engine that trains each participant on its own: its result depends on it alone.

    ``model`` is a scratch model, overwritten per client.
    """

    model: FlatModel
    objective: Objective

    def __call__(self, recipe: Recipe, group: Sequence[Participant]) -> list[LocalResult]:
        """Return the results of the participants, in their order. Raises InputError."""
        return [_train(self.model, self.objective, recipe, participant) for participant in group]


def _train(
    model: FlatModel, objective: Objective, recipe: Recipe, participant: Participant
) -> LocalResult:
    model.load(participant.start)
    model.module.train()
    seed_torch(model.weights.device, participant.rng_seed())

    losses, scored = (
        fetched(column)
        for column in zip(*_steps(model, objective, recipe, participant), strict=True)
    )
    (mean,) = sum(loss * count for loss, count in zip(losses, scored, strict=True)) / sum(scored)

    model.check_trained()
    return LocalResult(model.moving.clone(), float(mean))


def _batches(recipe: Recipe, participant: Participant) -> Batches:
    x, y = participant.pool.read(participant.rows, copy=False)
    rows, counts = minibatches(
        participant.count,
        participant.steps,
        recipe.batch_size,
        participant.order(),
        recipe.drop_last,
    )
    random = None if participant.transforms is None else participant.transforms()
    for row, count in zip(torch.from_numpy(rows).to(x.device), counts.tolist(), strict=True):
        batch = x[row[:count]], y[row[:count]]
        if recipe.transform is None:
            yield batch
        else:
            assert random is not None
            yield recipe.transform.apply(*batch, random)


def _steps(
    model: FlatModel, objective: Objective, recipe: Recipe, participant: Participant
) -> Losses:
    """Make the steps; yield losses."""
    numbers = numbers_of(model.names[: len(model.parameters)], recipe.trainable)
    parameters = [model.parameters[number] for number in numbers]
    weights = [parameter.data for parameter in parameters]
    change = _change(model, numbers, participant.adjust)
    state = recipe.optimizer.start(weights)

    for number, (x, y) in enumerate(_batches(recipe, participant)):
        loss = _loss(model, objective, participant.loss, x, y)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        present = [
            torch.zeros_like(weight) if gradient is None else gradient
            for gradient, weight in zip(gradients, weights, strict=True)
        ]
        if change is not None:
            present = change(present, weights)
        present = clipped(recipe, present, 0)
        recipe.optimizer.step(weights, present, state, recipe.lr_of(number), number)
        yield loss.detach(), objective.scored(y.first if isinstance(y, Mixture) else y)


def _loss(
    model: FlatModel, objective: Objective, own: Loss | None, x: torch.Tensor, y: Targets
) -> torch.Tensor:
    """Return the mean loss of a minibatch, by the objective or by an algorithm's own loss."""
    if own is None:
        loss = partial(objective.loss, model.module(x))
    else:
        loss = partial(own, model.module, x)
    return y.loss(loss) if isinstance(y, Mixture) else loss(y)


def _change(
    model: FlatModel, numbers: list[int], adjust: Adjust | AdjustFunction | None
) -> Change | None:
    """Return what an algorithm does to the gradients of the trained parameters."""
    if adjust is None:
        return None
    if isinstance(adjust, Adjust):
        towards, add = (
            None if vector is None else _picked(model.split(vector), numbers)
            for vector in (adjust.towards, adjust.add)
        )
        return linear_change(towards, add, adjust.pull)
    function = adjust

    def change(gradients: list[torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
        """Gather the gradients in one vector, with 0 for what is not trained."""
        flat = model.gradient
        flat.zero_()
        pieces = _picked(model.split(flat), numbers)
        for piece, gradient in zip(pieces, gradients, strict=True):
            piece.copy_(gradient)
        function(flat, model.trainable)
        return pieces

    return change


def _picked(tensors: list[torch.Tensor], numbers: list[int]) -> list[torch.Tensor]:
    return [tensors[number] for number in numbers]
