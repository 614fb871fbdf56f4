"""The test of a model on one shard of a part."""

from __future__ import annotations

import torch

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Judged, Task
from mpifl.training.samples import Samples


def evaluate_shard(model: FlatModel, weights: torch.Tensor, task: Task, samples: Samples) -> Judged:
    """Test the model with ``weights`` (n,) on one shard, in evaluation mode; all on one device. The result is on the host."""
    model.load(weights)
    model.module.eval()
    x, y = samples
    with torch.inference_mode():
        return Judged(*(found.cpu() for found in task.judge(model.module(x), y)))
