"""The test of a model on one shard of a part."""

from __future__ import annotations

import torch

from mpifl.models.flat import FlatModel
from mpifl.objectives.objective import Objective, Scores
from mpifl.training.samples import Samples


def evaluate_shard(model: FlatModel, weights: torch.Tensor, objective: Objective, samples: Samples) -> Scores:
    """Test the model with ``weights`` (n,) on one shard, in evaluation mode; all on one device. The result is on the host."""
    model.load(weights)
    model.module.eval()
    x, y = samples
    with torch.inference_mode():
        return Scores(*(found.cpu() for found in objective.score(model.module(x), y)))
