"""The loop engine: minibatch SGD of one client after the other, by torch's automatic differentiation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.training.participant import LocalResult, Participant, batch_rows, seed_noise
from mpifl.training.tasks.task import Task

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def train_loop(model: FlatModel, task: Task, training: Training, group: Sequence[Participant]) -> list[LocalResult]:
    """Train each participant of a group on its own. Depends on its arguments only; ``model`` is a place to work in."""
    return [_train(model, task, training, participant) for participant in group]


def _train(model: FlatModel, task: Task, training: Training, participant: Participant) -> LocalResult:
    model.load(participant.base)
    model.module.train()
    seed_noise(participant.noise())
    plain = participant.correct is None and not training.momentum and not training.weight_decay
    steps = _plain_steps if plain else _steps
    losses, processed = 0.0, 0
    for loss, scored in steps(model, task, training, participant):
        losses += loss * scored
        processed += scored
    return LocalResult(model.weights - participant.base, losses / processed)


def _batches(training: Training, participant: Participant) -> Batches:
    x, y = participant.samples
    for rows in batch_rows(len(y), participant.steps, training.batch_size, participant.order()):
        index = torch.from_numpy(rows)
        yield x[index], y[index]


def _plain_steps(model: FlatModel, task: Task, training: Training, participant: Participant) -> Iterator[tuple[float, int]]:
    """Plain SGD: each tensor's gradient is used as it comes, and never gathered in one vector. Yields loss and samples."""
    tensors = [parameter.data for parameter in model.parameters]
    for x, y in _batches(training, participant):
        loss = task.loss(model.module(x), y)
        gradients = torch.autograd.grad(loss, model.parameters, allow_unused=True)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            if gradient is not None:
                tensor.add_(gradient, alpha=-training.lr)
        yield loss.item(), task.scored(y)


def _steps(model: FlatModel, task: Task, training: Training, participant: Participant) -> Iterator[tuple[float, int]]:
    """With momentum and weight decay as torch.optim.SGD has them, on the flat vector; ``correct`` acts before both."""
    weights, gradient, correct = model.trainable, model.gradient, participant.correct
    velocity = torch.zeros_like(gradient) if training.momentum else None
    for x, y in _batches(training, participant):
        gradient.zero_()
        loss = task.loss(model.module(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        if correct is not None:
            correct(gradient, weights)
        if training.weight_decay:
            gradient.add_(weights, alpha=training.weight_decay)
        if velocity is not None:
            velocity.mul_(training.momentum).add_(gradient)
        weights.sub_(gradient if velocity is None else velocity, alpha=training.lr)
        yield loss.item(), task.scored(y)
