"""The stacked engine: trains a group, the models of several clients as one computation.

Step k of all clients is one step of the group. Clients with more steps come first, so that those
still at work are always a prefix of the group. A minibatch that is smaller than another client's
is filled up with samples that do not count.
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

BLOCK_NUMBERS = 1 << 22
"""The most numbers of features that are gathered at a time."""


class Step(NamedTuple):
    """The samples of one step.

    ``x``, ``y`` and ``mask`` are the arguments of ``Stack.step``. ``counts`` (clients,) int64 says
    how many samples of each client count.
    """

    x: torch.Tensor
    y: torch.Tensor
    mask: torch.Tensor | None
    counts: np.ndarray


class Stacked:
    """An Engine that trains the participants of a group together.

    Each gets what the loop engine gives it, up to rounding and to the masks of dropout, which are
    drawn together. Weight tensors are kept from group to group. On a GPU steps are CUDA graphs,
    unless the algorithm adjusts gradients.
    """

    def __init__(
        self,
        model: FlatModel,
        objective: Objective,
        training: Training,
        graphs: Graphs | None = None,
    ) -> None:
        """Prepare an engine on the device of ``model``, a scratch model overwritten per group.

        ``graphs`` captures steps; by default CUDA graphs on a GPU, and nothing on a CPU.
        """
        self._model = model
        self._objective = objective
        self._training = training
        self._linear = is_linear(model, objective) and training.plain
        self._stacks: dict[bool, Stack] = {}
        device = model.weights.device
        self._graphs = Graphs(device) if graphs is None and device.type == "cuda" else graphs

    def __call__(self, group: Sequence[Participant]) -> list[LocalResult]:
        """Return the results of a group, in its order. Raises InputError."""
        order = sorted(range(len(group)), key=lambda i: -group[i].steps)
        ranked = [group[i] for i in order]

        base = ranked[0].base
        if all(participant.base is base for participant in ranked):
            bases = base.expand(len(group), -1)
        else:
            bases = torch.stack([participant.base for participant in ranked])
        self._model.load(base)  # what is not trained is the same for all

        stack = self.stack(ranked)
        before = self._model.split(bases)[: len(self._model.parameters)]
        for weight, piece in zip(stack.weights, before, strict=True):
            weight[: len(group)].copy_(piece)
        losses = self._train(stack, ranked)

        updates = bases.new_empty(len(group), len(self._model.weights))
        updates[:, len(self._model.gradient) :] = 0
        for after, earlier, update in zip(
            stack.weights, before, self._model.split(updates), strict=False
        ):
            torch.sub(after[: len(group)], earlier, out=update)

        averages = base[self._model.averages]  # empty: a model with buffers is not stacked
        results = [
            LocalResult(update, averages, loss)
            for update, loss in zip(updates, losses, strict=True)
        ]
        return [results[order.index(i)] for i in range(len(group))]

    def stack(self, group: Sequence[Participant]) -> Stack:
        """Return the Stack that trains a group: a LinearStack where the model allows it."""
        linear = self._linear and all(participant.adjust is None for participant in group)
        stack = self._stacks.get(linear)
        if stack is not None and len(stack.weights[0]) >= len(group):
            return stack

        clients = max(len(group), self._training.stack or 1)
        weights = [
            parameter.new_empty(clients, *parameter.shape) for parameter in self._model.parameters
        ]
        if linear:
            stack = LinearStack(self._model, self._objective, self._training.lr, weights)
        else:
            stack = VmapStack(self._model, self._objective, self._training, weights)
        self._stacks[linear] = stack
        if self._graphs is not None:
            self._graphs.forget()
        return stack

    def _train(self, stack: Stack, group: Sequence[Participant]) -> list[float]:
        """Make all steps of a group (most steps first); return each client's mean loss.

        The mean is over all predictions.
        """
        stack.begin(group)
        adjusts = any(participant.adjust for participant in group)
        take = stack.step if self._graphs is None or adjusts else self._graphs.steps_of(stack)

        losses = []
        scored = []
        for step in _steps(self._training, group):
            losses.append(take(step.x, step.y, step.mask))
            scored.append(self._objective.scored_each(step.y, step.mask, step.counts))

        total = np.zeros(len(group))
        predicted = np.zeros(len(group))
        for loss, count in zip(fetched(losses), fetched(scored), strict=True):
            total[: len(loss)] += loss * count
            predicted[: len(loss)] += count
        means: list[float] = (total / predicted).tolist()
        return means


def _steps(training: Training, group: Sequence[Participant]) -> Iterator[Step]:
    """Yield the steps of a group, most steps first.

    The samples of several steps are gathered at once, straight from the pool. Padding is samples
    of the client's own: another client's might be NaN, and 0 times NaN is NaN.
    """
    pool = group[0].pool
    rows, counts = _rows(training, group)
    clients, steps, batch = rows.shape
    active = (counts > 0).sum(0).tolist()
    # On a GPU all batches have one width: a new shape would have to be captured first.
    widths = counts.max(0).tolist() if pool.device == CPU else [batch] * steps

    whole = pool.device == CPU and counts.min() == batch
    padded = rows if whole else np.where(rows == EMPTY, rows[:, :1, :1], rows)
    index = torch.from_numpy(padded).to(pool.x.device)
    inside = None
    if not whole:
        inside = torch.from_numpy(np.arange(batch) < counts[..., None]).to(pool.device)

    numbers = clients * batch * math.prod(pool.x.shape[1:])
    at_once = max(1, min(steps, BLOCK_NUMBERS // max(1, numbers)))
    for first in range(0, steps, at_once):
        x, y = pool.pick(index[:, first : first + at_once])
        for step in range(first, min(steps, first + at_once)):
            own = slice(active[step])
            width = slice(widths[step])
            count = counts[: active[step], step]
            full = pool.device == CPU and count.min() == widths[step]
            mask = None if inside is None or full else inside[own, step, width]
            yield Step(x[own, step - first, width], y[own, step - first, width], mask, count)


def _rows(training: Training, group: Sequence[Participant]) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of each client's steps, and how many they are.

    Samples are rows of the pool, (clients, steps, batch) int64, EMPTY where there is none. Counts
    are (clients, steps) int64.
    """
    batch = min(training.batch_size, max(participant.count for participant in group))
    if group[0].pool.device != CPU:
        batch = min(training.batch_size, 1 << (batch - 1).bit_length())

    rows = np.full((len(group), group[0].steps, batch), EMPTY)
    counts = np.zeros((len(group), group[0].steps), np.int64)
    for row, count, participant in zip(rows, counts, group, strict=True):
        steps = participant.steps
        own, count[:steps] = minibatches(
            participant.count,
            steps,
            training.batch_size,
            participant.order(),
            training.drops_last,
        )
        np.add(own, participant.rows.start, out=row[:steps, : own.shape[1]], where=own != EMPTY)
    return rows, counts
