"""The loop engine: the local steps of one client after the other, by torch's autograd."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.optimizers.adjust import Adjust, AdjustFunction, Change, linear_change
from mpifl.optimizers.optimizer import Tensors
from mpifl.training.device import fetched, seed_torch
from mpifl.training.optimizer_memory import begun, remembered
from mpifl.training.participant import LocalResult, Loss, Participant, minibatches, steps_of_epoch
from mpifl.training.recipe import Recipe, clipped, numbers_of
from mpifl.transforms.transform import Mixture, of_targets

Targets = torch.Tensor | Mixture
Batches = Iterator[tuple[torch.Tensor, Targets]]
Losses = Iterator[tuple[torch.Tensor, int | torch.Tensor, torch.Tensor | None, int]]
"""For each step its mean loss and the number of predictions that it is the mean of; the mean of its
samples' squared losses, None where the recipe does not ask for it, and the number of samples."""


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

    numbers = numbers_of(model.names[: len(model.parameters)], recipe.trainable)
    memory = participant.memory
    state = begun(model, numbers, recipe.optimizer, memory)
    steps = _steps(model, objective, recipe, participant, numbers, state)
    columns = zip(*_until_done(recipe, participant, steps), strict=True)
    losses, scored, squares, samples = columns
    mean = _mean(fetched(losses), fetched(scored))
    squared = {}
    if recipe.squares:
        each = fetched(squares)
        squared["squared_loss"] = _mean(each, fetched(samples))
        squared["last_squared_loss"] = float(each[-1][0])

    model.check_trained()
    if memory is not None:
        memory = remembered(model, numbers, state, memory, len(losses))
    return LocalResult(model.moving.clone(), mean, steps=len(losses), memory=memory, **squared)


def _until_done(recipe: Recipe, participant: Participant, steps: Losses) -> Losses:
    """Yield steps until the loss does not fall any more, where the recipe says so."""
    if recipe.early_stop is None:
        yield from steps
        return

    epoch = steps_of_epoch(participant.count, recipe.batch_size, recipe.drop_last)
    before = math.inf
    while made := list(itertools.islice(steps, epoch)):
        yield from made
        losses, scored, *_ = zip(*made, strict=True)
        mean = _mean(fetched(losses), fetched(scored))
        if not mean < (1 - recipe.early_stop) * before:
            return
        before = mean


def _mean(values: list[np.ndarray], counts: list[np.ndarray]) -> float:
    """Return the mean of the steps' values (1,), each with the weight of its count (1,).

    A step without a prediction (all targets ignored) has no loss: it is NaN, and does not count.
    Where no step has one the mean is 0, as that of a test.
    """
    made = [(value, count) for value, count in zip(values, counts, strict=True) if count.any()]
    if not made:
        return 0.0
    (mean,) = sum(value * count for value, count in made) / sum(count for _, count in made)
    return float(mean)


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
        if participant.poison is not None:
            batch = participant.poison(*batch)
        if recipe.transform is None:
            yield batch
        else:
            assert random is not None
            yield recipe.transform.apply(*batch, random)


def _steps(
    model: FlatModel,
    objective: Objective,
    recipe: Recipe,
    participant: Participant,
    numbers: list[int],
    state: list[Tensors],
) -> Losses:
    """Make the steps of the parameters ``numbers``, and of the optimizer's state; yield losses."""
    parameters = [model.parameters[number] for number in numbers]
    weights = [parameter.data for parameter in parameters]
    change = _change(model, numbers, participant.adjust)
    before = 0 if participant.memory is None else participant.memory.steps

    for number, (x, y) in enumerate(_batches(recipe, participant)):
        loss, squared = _loss(model, objective, recipe, participant.loss, x, y)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        present = [
            torch.zeros_like(weight) if gradient is None else gradient
            for gradient, weight in zip(gradients, weights, strict=True)
        ]
        if change is not None:
            present = change(present, weights)
        present = clipped(recipe, present, 0)
        lr = recipe.lr_of(number)
        recipe.optimizer.step(weights, present, state, lr, before + number)
        scored = objective.scored(y.first if isinstance(y, Mixture) else y)
        yield loss.detach(), scored, squared, len(x)


def _loss(
    model: FlatModel,
    objective: Objective,
    recipe: Recipe,
    own: Loss | None,
    x: torch.Tensor,
    y: Targets,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the mean loss of a minibatch, by the objective or by an algorithm's own loss.

    Second comes the mean of the squared losses of its samples, None where it is not asked for.
    """
    if own is not None:
        loss = _own_loss(own, model.module, x, y)
        return loss, loss.detach().square() if recipe.squares else None
    output = model.module(x)
    loss = loss_of(objective, output, y)
    if not recipe.squares:
        return loss, None
    each = of_targets(partial(objective.sample_losses, output.detach()), y)
    return loss, each.square().mean()


def loss_of(objective: Objective, output: torch.Tensor, y: Targets) -> torch.Tensor:
    """Return the objective's mean loss of outputs and targets, of one or of two for each sample."""
    return of_targets(partial(objective.loss, output), y)


def _own_loss(own: Loss, module: nn.Module, x: torch.Tensor, y: Targets) -> torch.Tensor:
    """Return an algorithm's own loss, of each target; at once where it takes both."""
    if getattr(own, "takes_mixtures", False):
        takes_both: Any = own
        return takes_both(module, x, y)
    return of_targets(partial(own, module, x), y)


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
