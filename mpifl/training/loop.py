"""The hot loop: minibatch SGD of one client on its own samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.training.tasks.task import Task

Correct = Callable[[torch.Tensor, torch.Tensor], None]
"""(gradient, weights), both (trainable,): what an algorithm changes in a step's gradient, in place."""


@dataclass(frozen=True)
class LocalResult:
    """``update`` (n,): weights after minus weights before. ``loss``: mean over what was predicted, as it was trained."""

    update: torch.Tensor
    loss: float


def train_client(
    model: FlatModel,
    base: torch.Tensor,
    task: Task,
    samples: tuple[torch.Tensor, torch.Tensor],
    steps: int,
    training: Training,
    order: np.random.Generator,
    correct: Correct | None,
) -> LocalResult:
    """Train from ``base`` (n,) for ``steps`` steps. Depends on its arguments only; ``model`` is a place to work in.

    SGD with momentum and weight decay as torch.optim.SGD has them, on the flat vector. ``correct`` acts before both.
    """
    model.load(base)
    weights, gradient = model.trainable, model.gradient
    velocity = torch.zeros_like(gradient) if training.momentum else None
    model.module.train()
    losses, processed = 0.0, 0
    for x, y in _batches(samples, steps, training.batch_size, order):
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
        scored = task.scored(y)
        losses += loss.item() * scored
        processed += scored
    return LocalResult(model.weights - base, losses / processed)


def _batches(
    samples: tuple[torch.Tensor, torch.Tensor], steps: int, batch_size: int, order: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """``steps`` minibatches; every epoch goes through all samples in a new order, its last batch may be smaller."""
    x, y = samples
    done = 0
    while done < steps:
        shuffled = torch.from_numpy(order.permutation(len(y)))
        x_epoch, y_epoch = x[shuffled], y[shuffled]
        for start in range(0, len(y), batch_size):
            if done == steps:
                return
            yield x_epoch[start : start + batch_size], y_epoch[start : start + batch_size]
            done += 1
