"""The loop engine: minibatch SGD of one client after the other, by torch's autograd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.device import fetched, seed_torch
from mpifl.training.participant import LocalResult, Participant, minibatches

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
Losses = Iterator[tuple[torch.Tensor, int | torch.Tensor]]
"""For each step its mean loss, and the number of predictions that it is the mean of."""


@dataclass(frozen=True)
class Loop:
    """An Engine that trains each participant on its own: its result depends on it alone.

    ``model`` is a scratch model, overwritten per client.
    """

    model: FlatModel
    objective: Objective
    training: Training

    def __call__(self, group: Sequence[Participant]) -> list[LocalResult]:
        """Return the results of the participants, in their order. Raises InputError."""
        return [
            _train(self.model, self.objective, self.training, participant) for participant in group
        ]


def _train(
    model: FlatModel, objective: Objective, training: Training, participant: Participant
) -> LocalResult:
    model.load(participant.base)
    model.module.train()
    seed_torch(model.weights.device, participant.rng_seed())

    steps = _plain_steps if participant.adjust is None and training.plain else _steps
    losses, scored = (
        fetched(column)
        for column in zip(*steps(model, objective, training, participant), strict=True)
    )
    (mean,) = sum(loss * count for loss, count in zip(losses, scored, strict=True)) / sum(scored)

    model.check_trained(participant.base)
    update = model.weights - participant.base
    update[len(model.gradient) :] = 0
    return LocalResult(update, model.weights[model.averages].clone(), float(mean))


def _batches(training: Training, participant: Participant) -> Batches:
    x, y = participant.pool.read(participant.rows, copy=False)
    rows, counts = minibatches(
        participant.count,
        participant.steps,
        training.batch_size,
        participant.order(),
        training.drops_last,
    )
    for row, count in zip(torch.from_numpy(rows).to(x.device), counts.tolist(), strict=True):
        yield x[row[:count]], y[row[:count]]


def _plain_steps(
    model: FlatModel, objective: Objective, training: Training, participant: Participant
) -> Losses:
    """Make the steps of plain SGD; yield losses.

    Each tensor's gradient is used as it comes, without gathering all in one vector.
    """
    tensors = [parameter.data for parameter in model.parameters]
    for x, y in _batches(training, participant):
        loss = objective.loss(model.module(x), y)
        gradients = torch.autograd.grad(loss, model.parameters, allow_unused=True)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            if gradient is not None:
                tensor.add_(gradient, alpha=-training.lr)
        yield loss.detach(), objective.scored(y)


def _steps(
    model: FlatModel, objective: Objective, training: Training, participant: Participant
) -> Losses:
    """Make the steps of SGD on the flat vector; yield losses.

    Momentum and weight decay are torch.optim.SGD's; ``adjust`` acts before both.
    """
    weights = model.trainable
    gradient = model.gradient
    adjust = participant.adjust
    velocity = torch.zeros_like(gradient) if training.momentum else None

    for x, y in _batches(training, participant):
        gradient.zero_()
        loss = objective.loss(model.module(x), y)
        loss.backward()  # type: ignore[no-untyped-call]

        if adjust is not None:
            adjust(gradient, weights)
        if training.weight_decay:
            gradient.add_(weights, alpha=training.weight_decay)
        if velocity is not None:
            velocity.mul_(training.momentum).add_(gradient)
        weights.sub_(gradient if velocity is None else velocity, alpha=training.lr)
        yield loss.detach(), objective.scored(y)
