"""The stacked engine: the models of several clients trained as one computation.

Step k of all of them is one step of the stack. Clients with more steps come first, so that those who are still at work are
always the first so many; a minibatch that is smaller than another client's is filled up with samples that do not count.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.training.linear_stack import LinearStack, is_linear
from mpifl.training.participant import LocalResult, Participant, batch_rows, seed_noise
from mpifl.training.tasks.task import NOT_THERE, Task
from mpifl.training.vmap_stack import VmapStack

EMPTY = -1
BLOCK_NUMBERS = 1 << 22  # of features that are gathered at a time


class Stack(Protocol):
    """Several clients at work on weights of theirs, a tensor (clients, *shape) of each kind, which a step changes in place."""

    def step(self, x: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None) -> torch.Tensor:
        """A step of the first clients, as many as x (clients, samples, ...) has; returns their losses (clients,).

        ``there`` (clients, samples) bool: which samples count; None when all do.
        """


def train_stacked(model: FlatModel, task: Task, training: Training, group: Sequence[Participant]) -> list[LocalResult]:
    """Train the participants of a group together. Depends on its arguments only; ``model`` is a place to work in.

    What each gets is what the loop engine gives it, but for rounding (and for the masks of dropout, which are drawn together).
    """
    order = sorted(range(len(group)), key=lambda i: -group[i].steps)
    ranked = [group[i] for i in order]
    first = ranked[0].base
    same = all(participant.base.data_ptr() == first.data_ptr() for participant in ranked)
    bases = first.expand(len(group), -1) if same else torch.stack([participant.base for participant in ranked])
    before = model.split(bases)[: len(model.parameters)]
    weights = [piece.clone(memory_format=torch.contiguous_format) for piece in before]
    model.load(first)  # what is not trained is the same for all
    losses = _train(_stack(model, task, training, ranked, weights), training, ranked)
    updates = torch.empty(len(group), len(model.weights))
    updates[:, len(model.gradient) :] = 0
    for after, earlier, update in zip(weights, before, model.split(updates), strict=False):
        torch.sub(after, earlier, out=update)
    results = [LocalResult(update, loss) for update, loss in zip(updates, losses, strict=True)]
    return [results[order.index(i)] for i in range(len(group))]


def _stack(
    model: FlatModel, task: Task, training: Training, group: Sequence[Participant], weights: list[torch.Tensor]
) -> Stack:
    corrects = [participant.correct for participant in group]
    if is_linear(model, task) and is_plain(training) and not any(corrects):
        return LinearStack(model, task, training.lr, weights)
    seed_noise(group[0].noise())
    return VmapStack(model, task, training, corrects, weights)


def is_plain(training: Training) -> bool:
    """Whether a step is weights -= lr gradient."""
    return not training.momentum and not training.weight_decay


def _train(stack: Stack, training: Training, group: Sequence[Participant]) -> list[float]:
    """All steps of a group (most steps first); returns each one's mean loss over what was predicted."""
    steps = [participant.steps for participant in group]
    losses, scored = np.zeros(len(group)), np.zeros(len(group))
    for step, (x, y, rows) in enumerate(_minibatches(training, group)):
        active = bisect_left(steps, -step, key=lambda left: -left)
        taken = rows[:active]
        if taken[:, -1].min() == EMPTY:
            taken = taken[:, : int((taken != EMPTY).sum(1).max())]
        there = torch.from_numpy(taken != EMPTY) if taken[:, -1].min() == EMPTY else None
        width = taken.shape[1]
        targets = y[:active, :width]
        counts = _scored(targets, there)
        losses[:active] += stack.step(x[:active, :width], targets, there).numpy().astype(np.float64) * counts
        scored[:active] += counts
    means: list[float] = (losses / scored).tolist()
    return means


def _minibatches(training: Training, group: Sequence[Participant]) -> Iterator[tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
    """Of every step: features (clients, batch, ...) and targets, and whose samples they are (clients, batch), int64, or EMPTY.

    Several steps' are gathered at once, straight from where the samples lie. Where there are none stand samples of the client's
    own: 0 times the NaN of another's would be NaN.
    """
    rows = _rows(training, group)
    clients, steps, batch = rows.shape
    x, y = group[0].samples
    at_once = max(1, min(steps, BLOCK_NUMBERS // max(1, clients * batch * math.prod(x.shape[1:]))))
    for first in range(0, steps, at_once):
        block = rows[:, first : first + at_once]
        index = torch.from_numpy(np.where(block == EMPTY, rows[:, :1, :1], block) if block.min() == EMPTY else block)
        size = block.shape[1] * batch
        features, targets = x.new_empty(clients, size, *x.shape[1:]), y.new_empty(clients, size, *y.shape[1:])
        for own, participant, into_x, into_y in zip(index, group, features, targets, strict=True):
            torch.index_select(participant.samples[0], 0, own.reshape(-1), out=into_x)
            torch.index_select(participant.samples[1], 0, own.reshape(-1), out=into_y)
        for number in range(block.shape[1]):
            part = slice(number * batch, (number + 1) * batch)
            yield features[:, part], targets[:, part], block[:, number]


def _rows(training: Training, group: Sequence[Participant]) -> np.ndarray:
    """Which of its samples each client's steps go through, (clients, steps, batch) int64; or EMPTY."""
    counts = [len(participant.samples[1]) for participant in group]
    rows = np.full((len(group), group[0].steps, min(training.batch_size, max(counts))), EMPTY)
    for own, participant, count in zip(rows, group, counts, strict=True):
        for step, batch in enumerate(batch_rows(count, participant.steps, training.batch_size, participant.order())):
            own[step, : len(batch)] = batch
    return rows


def _scored(y: torch.Tensor, there: torch.Tensor | None) -> np.ndarray:
    """How many things each client predicts, (clients,)."""
    if y.dim() == 2 or y.is_floating_point():
        return np.full(len(y), y.shape[1]) if there is None else there.sum(1).numpy()
    counted = y != NOT_THERE
    return (counted if there is None else counted & there.unsqueeze(-1)).flatten(1).sum(1).numpy()
