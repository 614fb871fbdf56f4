"""What an engine is given of a participant, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mpifl.training.samples import Pool

Correct = Callable[[torch.Tensor, torch.Tensor], None]
"""(gradient, weights), both (trainable,): what an algorithm changes in a step's gradient, in place."""


@dataclass(frozen=True)
class Participant:
    """``base`` (n,) is what it trains from, on the model's device; ``rows`` of ``pool`` are its samples.

    ``order`` makes the generator of their order.
    ``noise`` makes a seed for torch's own generator, from which layers such as dropout draw. ``correct`` is None where the
    algorithm leaves gradients alone.
    """

    base: torch.Tensor
    pool: Pool
    rows: slice
    steps: int
    order: Callable[[], np.random.Generator]
    noise: Callable[[], int]
    correct: Correct | None

    @property
    def count(self) -> int:
        """How many samples it has."""
        return self.rows.stop - self.rows.start


@dataclass(frozen=True)
class LocalResult:
    """``update`` (n,): weights after minus weights before. ``loss``: mean over what was predicted, as it was trained."""

    update: torch.Tensor
    loss: float


def batch_rows(count: int, steps: int, batch_size: int, order: np.random.Generator) -> Iterator[np.ndarray]:
    """The samples (int64 numbers below ``count``) of ``steps`` minibatches.

    Every epoch goes through all samples in a new order, its last batch may be smaller.
    """
    done = 0
    while done < steps:
        shuffled = order.permutation(count)
        for start in range(0, count, batch_size):
            if done == steps:
                return
            yield shuffled[start : start + batch_size]
            done += 1


Engine = Callable[[Sequence[Participant]], list[LocalResult]]
"""Trains the participants of a group; what comes of it depends on them only."""
