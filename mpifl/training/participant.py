"""What an engine is given of a participant, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

Correct = Callable[[torch.Tensor, torch.Tensor], None]
"""(gradient, weights), both (trainable,): what an algorithm changes in a step's gradient, in place."""


@dataclass(frozen=True)
class Participant:
    """``base`` (n,) is what it trains from, ``samples`` its features and targets. ``order`` makes the generator of their order.

    ``noise`` makes a seed for torch's own generator, from which layers such as dropout draw. ``correct`` is None where the
    algorithm leaves gradients alone.
    """

    base: torch.Tensor
    samples: tuple[torch.Tensor, torch.Tensor]
    steps: int
    order: Callable[[], np.random.Generator]
    noise: Callable[[], int]
    correct: Correct | None


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


def seed_noise(seed: int) -> None:
    """What layers draw from; torch.manual_seed would ask every kind of device, which takes longer than a small client."""
    torch.default_generator.manual_seed(seed)
