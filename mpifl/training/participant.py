"""What an engine is given of a participant, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mpifl.training.samples import Pool

EMPTY = -1
Adjust = Callable[[torch.Tensor, torch.Tensor], None]
"""(gradient, weights), both (trainable,): what an algorithm changes in a step's gradient, in place."""


@dataclass(frozen=True)
class Participant:
    """``base`` (n,) is what it trains from, on the model's device; ``rows`` of ``pool`` are its samples.

    ``order`` gives the generator of their order; who draws from it is done before another's
    is asked for.
    ``rng_seed`` makes a seed for torch's own generator, from which layers such as dropout draw. ``adjust`` is None where the
    algorithm leaves gradients alone.
    """

    base: torch.Tensor
    pool: Pool
    rows: slice
    steps: int
    order: Callable[[], np.random.Generator]
    rng_seed: Callable[[], int]
    adjust: Adjust | None

    @property
    def count(self) -> int:
        """How many samples it has."""
        return self.rows.stop - self.rows.start


@dataclass(frozen=True)
class LocalResult:
    """``update`` (n,): weights after minus weights before, 0 behind those that are trained; ``averages``: the averaged segment.

    ``loss``: mean over what was predicted, as it was trained.
    """

    update: torch.Tensor
    averages: torch.Tensor
    loss: float


def minibatches(
    count: int, steps: int, batch_size: int, order: np.random.Generator, drop_last: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The samples (numbers below ``count``) of each step, (steps, batch_size or less) int64; and how many, (steps,).

    Every epoch goes through all samples in a new order, its last batch may be smaller; EMPTY stands behind it then. With
    ``drop_last`` it is left out, unless it is the only one. ``Workload`` counts the same steps and samples.
    """
    width, of_epoch = min(batch_size, count), -(-count // batch_size)
    if drop_last:
        of_epoch = max(1, count // batch_size)
    epochs, taken = -(-steps // of_epoch), min(count, of_epoch * width)
    rows, counts = np.full((epochs, of_epoch * width), EMPTY), np.full((epochs, of_epoch), width)
    for epoch in rows:
        epoch[:taken] = order.permutation(count)[:taken]
    counts[:, -1] = taken - (of_epoch - 1) * width
    return rows.reshape(-1, width)[:steps], counts.reshape(-1)[:steps]


Engine = Callable[[Sequence[Participant]], list[LocalResult]]
"""Trains the participants of a group; what comes of it depends on them only."""
