"""The test of a model on one shard of the test part."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy

from mpifl.models.flat import FlatModel


class ShardResult(NamedTuple):
    """Samples tested, samples classified right, and the sum of their losses."""

    samples: int
    correct: int
    loss_sum: float


def evaluate_shard(model: FlatModel, weights: torch.Tensor, samples: tuple[torch.Tensor, torch.Tensor]) -> ShardResult:
    """Test the model with ``weights`` (n,) on one shard, in evaluation mode."""
    model.load(weights)
    model.module.eval()
    x, y = samples
    with torch.inference_mode():
        logits = model.module(x)
        loss = cross_entropy(logits, y, reduction="sum")
        correct = (logits.argmax(1) == y).sum()
    return ShardResult(len(y), int(correct), float(loss))
