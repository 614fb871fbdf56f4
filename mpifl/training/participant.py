"""What an engine is given of a participant, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mpifl.optimizers.adjust import Adjust, AdjustFunction
from mpifl.training.optimizer_memory import OptimizerMemory
from mpifl.training.recipe import Recipe
from mpifl.training.samples import Pool

EMPTY = -1
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""A loss of an algorithm's own: loss(module, x, y) is a scalar tensor.

Where samples have two targets (``mixup``) it is called for each of them. One that makes steps of
its own says ``takes_mixtures = True``: it is called once, with a Mixture that ``c.loss`` takes."""

Poison = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class Participant:
    """One client's local work.

    Attributes:
        start: The weights that it trains from, (size,) float32 on the model's device.
        pool: The samples of all clients.
        rows: Its samples in the pool.
        steps: How many steps it makes.
        order: Return the generator of its sample order. The generator is shared: finish drawing
            before the next participant's is asked for.
        rng_seed: Return a seed for torch's generator, from which layers such as dropout draw.
        adjust: What the algorithm does to a gradient; None where it does nothing.
        loss: A loss in place of the objective's; None for the objective's.
        transforms: Return the generator of the recipe's transform, shared as that of ``order`` is;
            None where there is no transform.
        poison: What an attacker makes of its minibatches (x, y) before the transform; None where
            it leaves them as they are.
        memory: What its optimizer goes on from; None where it starts anew and nothing is kept.
    """

    start: torch.Tensor
    pool: Pool
    rows: slice
    steps: int
    order: Callable[[], np.random.Generator]
    rng_seed: Callable[[], int]
    adjust: Adjust | AdjustFunction | None = None
    loss: Loss | None = None
    transforms: Callable[[], np.random.Generator] | None = None
    poison: Poison | None = None
    memory: OptimizerMemory | None = None

    @property
    def count(self) -> int:
        """The number of its samples."""
        return self.rows.stop - self.rows.start

    @property
    def stackable(self) -> bool:
        """Whether it can be trained in a group.

        No function of its own is called in its steps, and its optimizer has no state of its own.
        """
        own = self.loss is not None or self.poison is not None or self.memory is not None
        return not own and (self.adjust is None or isinstance(self.adjust, Adjust))


@dataclass(frozen=True, eq=False)
class LocalResult:
    """What local training gives.

    Attributes:
        weights: The weights after the steps, (size,) float32; the averaged segment as training
            left it.
        loss: The mean training loss over all predictions, each as it was made during training.
        squared_loss: The mean over the samples gone through of the square of each one's loss. Where
            the loss is the algorithm's own, of the mean losses of the minibatches. NaN where the
            recipe does not ask for squares.
        last_squared_loss: The same, over the last minibatch.
        steps: The local steps that were made; None for all that were planned.
        memory: What its optimizer goes on from the next time, where it was given a memory.
    """

    weights: torch.Tensor
    loss: float
    squared_loss: float = math.nan
    last_squared_loss: float = math.nan
    steps: int | None = None
    memory: OptimizerMemory | None = None


def steps_of_epoch(count: int, batch_size: int, drop_last: bool) -> int:
    """Return the steps of an epoch of ``count`` samples."""
    return max(1, count // batch_size) if drop_last else -(-count // batch_size)


def minibatches(
    count: int, steps: int, batch_size: int, order: np.random.Generator, drop_last: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of each step and how many they are.

    Samples are numbers below ``count``, (steps, batch_size or fewer) int64; the counts are
    (steps,) int64. Each epoch goes through all samples in a new order. Its last batch may be
    smaller, and is then filled with EMPTY. With ``drop_last`` it is left out, unless it is the
    only one. ``Workload`` counts the same steps and samples.
    """
    width = min(batch_size, count)
    epoch_steps = steps_of_epoch(count, batch_size, drop_last)
    epochs = -(-steps // epoch_steps)
    taken = min(count, epoch_steps * width)

    rows = np.full((epochs, epoch_steps * width), EMPTY)
    counts = np.full((epochs, epoch_steps), width)
    for epoch in rows:
        epoch[:taken] = order.permutation(count)[:taken]
    counts[:, -1] = taken - (epoch_steps - 1) * width
    return rows.reshape(-1, width)[:steps], counts.reshape(-1)[:steps]


Engine = Callable[[Recipe, Sequence[Participant]], list[LocalResult]]
"""Trains a group of participants and returns their results in the same order.

Results depend on the participants of the group only.
"""
