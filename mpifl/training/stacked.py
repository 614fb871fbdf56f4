"""The stacked engine: the models of several clients trained as one computation.

Step k of all of them is one step of the stack. Clients with more steps come first, so that those who are still at work are
always the first so many; a minibatch that is smaller than another client's is filled up with samples that do not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.device import CPU, fetched
from mpifl.training.graphs import Graphs
from mpifl.training.linear_stack import LinearStack, is_linear
from mpifl.training.participant import EMPTY, LocalResult, Participant, minibatches
from mpifl.training.stack import Stack
from mpifl.training.vmap_stack import VmapStack

BLOCK_NUMBERS = 1 << 22  # of features that are gathered at a time


class Step(NamedTuple):
    """What a step goes through: see Stack.step; and how many samples count, (clients,) int64."""

    x: torch.Tensor
    y: torch.Tensor
    mask: torch.Tensor | None
    counts: np.ndarray


class Stacked:
    """Trains the participants of a group together; what comes of it depends on them only.

    Each gets what the loop engine gives it, but for rounding (and for the masks of dropout, which are drawn together). The
    stack is kept from group to group. On a GPU its steps are CUDA graphs, unless the algorithm changes gradients.
    """

    def __init__(self, model: FlatModel, objective: Objective, training: Training, graphs: Graphs | None = None) -> None:
        """``model`` is a place to work in, and says on which device; ``graphs``: how steps are captured there."""
        self._model, self._objective, self._training = model, objective, training
        self._linear = is_linear(model, objective) and training.plain
        self._stacks: dict[bool, Stack] = {}
        device = model.weights.device
        self._graphs = Graphs(device) if graphs is None and device.type == "cuda" else graphs

    def __call__(self, group: Sequence[Participant]) -> list[LocalResult]:
        """See the class."""
        order = sorted(range(len(group)), key=lambda i: -group[i].steps)
        ranked = [group[i] for i in order]
        first = ranked[0].base
        same = all(participant.base is first for participant in ranked)
        bases = first.expand(len(group), -1) if same else torch.stack([participant.base for participant in ranked])
        self._model.load(first)  # what is not trained is the same for all
        stack = self.stack(ranked)
        before = self._model.split(bases)[: len(self._model.parameters)]
        for weight, piece in zip(stack.weights, before, strict=True):
            weight[: len(group)].copy_(piece)
        losses = self._train(stack, ranked)
        updates = bases.new_empty(len(group), len(self._model.weights))
        updates[:, len(self._model.gradient) :] = 0
        for after, earlier, update in zip(stack.weights, before, self._model.split(updates), strict=False):
            torch.sub(after[: len(group)], earlier, out=update)
        averages = first[self._model.averages]  # none: where a model has buffers, it is not stacked
        results = [LocalResult(update, averages, loss) for update, loss in zip(updates, losses, strict=True)]
        return [results[order.index(i)] for i in range(len(group))]

    def stack(self, group: Sequence[Participant]) -> Stack:
        """The stack that trains a group: of linear layers where they are differentiated by hand."""
        linear = self._linear and all(participant.adjust is None for participant in group)
        stack = self._stacks.get(linear)
        if stack is None or len(stack.weights[0]) < len(group):
            clients = max(len(group), self._training.stack or 1)
            weights = [parameter.new_empty(clients, *parameter.shape) for parameter in self._model.parameters]
            if linear:
                stack = LinearStack(self._model, self._objective, self._training.lr, weights)
            else:
                stack = VmapStack(self._model, self._objective, self._training, weights)
            self._stacks[linear] = stack
            if self._graphs is not None:
                self._graphs.forget()
        return stack

    def _train(self, stack: Stack, group: Sequence[Participant]) -> list[float]:
        """All steps of a group (most steps first); returns each one's mean loss over what was predicted."""
        stack.begin(group)
        corrected = any(participant.adjust for participant in group)
        take = stack.step if self._graphs is None or corrected else self._graphs.steps_of(stack)
        found, scored = [], []
        for step in _steps(self._training, group):
            found.append(take(step.x, step.y, step.mask))
            scored.append(self._objective.scored_each(step.y, step.mask, step.counts))
        total, predicted = np.zeros(len(group)), np.zeros(len(group))
        for own, count in zip(fetched(found), fetched(scored), strict=True):
            total[: len(own)] += own * count
            predicted[: len(own)] += count
        means: list[float] = (total / predicted).tolist()
        return means


def _steps(training: Training, group: Sequence[Participant]) -> Iterator[Step]:
    """Of a group, most steps first. Several steps' samples are taken at once, straight from where they lie.

    Where there are none stand samples of the client's own: 0 times the NaN of another's would be NaN.
    """
    pool = group[0].pool
    rows, counts = _rows(training, group)
    clients, steps, batch = rows.shape
    active = (counts > 0).sum(0).tolist()
    # Elsewhere than here all batches have one width: a shape that is new has to be captured first.
    widths = counts.max(0).tolist() if pool.device == CPU else [batch] * steps
    numbers = clients * batch * math.prod(pool.x.shape[1:])
    at_once = max(1, min(steps, BLOCK_NUMBERS // max(1, numbers)))
    whole = pool.device == CPU and counts.min() == batch
    index = torch.from_numpy(rows if whole else np.where(rows == EMPTY, rows[:, :1, :1], rows)).to(pool.x.device)
    inside = None if whole else torch.from_numpy(np.arange(batch) < counts[..., None]).to(pool.device)
    for first in range(0, steps, at_once):
        x, y = pool.pick(index[:, first : first + at_once])
        for step in range(first, min(steps, first + at_once)):
            own, to, count = slice(active[step]), slice(widths[step]), counts[: active[step], step]
            mask = None if inside is None or (pool.device == CPU and count.min() == widths[step]) else inside[own, step, to]
            yield Step(x[own, step - first, to], y[own, step - first, to], mask, count)


def _rows(training: Training, group: Sequence[Participant]) -> tuple[np.ndarray, np.ndarray]:
    """The samples of the pool that each client's steps go through, (clients, steps, batch) int64, or EMPTY; and how many."""
    batch = min(training.batch_size, max(participant.count for participant in group))
    if group[0].pool.device != CPU:
        batch = min(training.batch_size, 1 << (batch - 1).bit_length())
    rows, counts = np.full((len(group), group[0].steps, batch), EMPTY), np.zeros((len(group), group[0].steps), np.int64)
    for row, count, one in zip(rows, counts, group, strict=True):
        own, count[: one.steps] = minibatches(one.count, one.steps, training.batch_size, one.order(), training.drops_last)
        np.add(own, one.rows.start, out=row[: one.steps, : own.shape[1]], where=own != EMPTY)
    return rows, counts
