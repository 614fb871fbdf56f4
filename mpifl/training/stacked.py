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

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective
from mpifl.training.device import CPU, fetched
from mpifl.training.graphs import Graphs
from mpifl.training.linear_stack import LinearStack, is_linear
from mpifl.training.participant import EMPTY, LocalResult, Participant, minibatches
from mpifl.training.recipe import Recipe
from mpifl.training.stack import Stack, Take
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
    drawn together. Weight tensors are kept from group to group. On a GPU steps are CUDA graphs
    where all of a group's steps are alike.
    """

    def __init__(
        self,
        model: FlatModel,
        objective: Objective,
        clients: int = 1,
        graphs: Graphs | None = None,
    ) -> None:
        """Prepare an engine on the device of ``model``, a scratch model overwritten per group.

        ``clients`` is the most that a group usually has. ``graphs`` captures steps; by default CUDA
        graphs on a GPU, and nothing on a CPU.
        """
        self._model = model
        self._objective = objective
        self._clients = clients
        self._is_linear = is_linear(model, objective)
        self._stacks: dict[bool, Stack] = {}
        device = model.weights.device
        self._graphs = Graphs(device) if graphs is None and device.type == "cuda" else graphs

    def __call__(self, recipe: Recipe, group: Sequence[Participant]) -> list[LocalResult]:
        """Return the results of a group, in its order. Raises InputError."""
        order = sorted(range(len(group)), key=lambda i: -group[i].steps)
        ranked = [group[i] for i in order]

        start = ranked[0].start
        if all(participant.start is start for participant in ranked):
            starts = start.expand(len(group), -1)
        else:
            starts = torch.stack([participant.start for participant in ranked])
        self._model.load(start)

        stack = self.stack(recipe, len(group))
        trained = self._model.split(starts)[: len(self._model.parameters)]
        for weight, piece in zip(stack.weights, trained, strict=True):
            weight[: len(group)].copy_(piece)
        losses = self._train(stack, recipe, ranked)

        # A model with buffers is not stacked: the whole vector is trained.
        after = starts.new_empty(starts.shape)
        for weight, piece in zip(stack.weights, self._model.split(after), strict=True):
            piece.copy_(weight[: len(group)])
        results = [LocalResult(row, *loss) for row, loss in zip(after, losses, strict=True)]
        return [results[order.index(i)] for i in range(len(group))]

    def stack(self, recipe: Recipe, clients: int) -> Stack:
        """Return the Stack that trains a group: a LinearStack where model and recipe allow it."""
        linear = self._is_linear and recipe.linear
        stack = self._stacks.get(linear)
        if stack is not None and len(stack.weights[0]) >= clients:
            return stack

        weights = [
            parameter.new_empty(max(clients, self._clients), *parameter.shape)
            for parameter in self._model.parameters
        ]
        kind = LinearStack if linear else VmapStack
        stack = kind(self._model, self._objective, weights)
        self._stacks[linear] = stack
        if self._graphs is not None:
            self._graphs.forget()
        return stack

    def _train(
        self, stack: Stack, recipe: Recipe, group: Sequence[Participant]
    ) -> list[tuple[float, float, float]]:
        """Make all steps of a group (most steps first); return the losses of each client.

        They are those of LocalResult.
        """
        stack.begin(recipe, group)
        adjusts = any(participant.adjust is not None for participant in group)
        alike = recipe.optimizer.same_steps and recipe.lr_decay == 1.0 and not adjusts
        take: Take = stack.step
        if self._graphs is not None and alike:
            take = self._graphs.steps_of(stack, recipe)

        losses = []
        scored = []
        samples = []
        for number, step in enumerate(_steps(recipe, group)):
            losses.append(take(step.x, step.y, step.mask, number))
            scored.append(self._objective.scored_each(step.y, step.mask, step.counts))
            samples.append(step.counts)

        steps = [loss.reshape(1 + recipe.squares, -1) for loss in fetched(losses)]
        means = _means([step[0] for step in steps], fetched(scored), len(group))
        if not recipe.squares:
            return [(mean, math.nan, math.nan) for mean in means.tolist()]
        squares = [step[1] for step in steps]
        last = np.empty(len(group))
        for step in squares:
            last[: len(step)] = step
        squared = _means(squares, fetched(samples), len(group))
        return list(zip(means.tolist(), squared.tolist(), last.tolist(), strict=True))


def _means(steps: list[np.ndarray], counts: list[np.ndarray], clients: int) -> np.ndarray:
    """Return each client's mean (clients,) over its steps, which have the weights ``counts``.

    A step has an entry for each of the first clients, down to one. Of one without a prediction it
    is NaN and does not count; the mean of a client without any is 0.
    """
    total = np.zeros(clients)
    weight = np.zeros(clients)
    for step, count in zip(steps, counts, strict=True):
        total[: len(step)] += np.where(count > 0, step, 0.0) * count
        weight[: len(step)] += count
    mean: np.ndarray = np.divide(total, weight, out=np.zeros(clients), where=weight > 0)
    return mean


def _steps(recipe: Recipe, group: Sequence[Participant]) -> Iterator[Step]:
    """Yield the steps of a group, most steps first.

    The samples of several steps are gathered at once, straight from the pool. Padding is samples
    of the client's own: another client's might be NaN, and 0 times NaN is NaN.
    """
    pool = group[0].pool
    rows, counts = _rows(recipe, group)
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


def _rows(recipe: Recipe, group: Sequence[Participant]) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of each client's steps, and how many they are.

    Samples are rows of the pool, (clients, steps, batch) int64, EMPTY where there is none. Counts
    are (clients, steps) int64.
    """
    batch = min(recipe.batch_size, max(participant.count for participant in group))
    if group[0].pool.device != CPU:
        batch = min(recipe.batch_size, 1 << (batch - 1).bit_length())

    rows = np.full((len(group), group[0].steps, batch), EMPTY)
    counts = np.zeros((len(group), group[0].steps), np.int64)
    for row, count, participant in zip(rows, counts, group, strict=True):
        steps = participant.steps
        own, count[:steps] = minibatches(
            participant.count,
            steps,
            recipe.batch_size,
            participant.order(),
            recipe.drop_last,
        )
        np.add(own, participant.rows.start, out=row[:steps, : own.shape[1]], where=own != EMPTY)
    return rows, counts
