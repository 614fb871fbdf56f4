"""What training costs, counted."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from mpifl.datasets.dataset import DataShape
from mpifl.models.flat import FlatModel


def training_flops(model: FlatModel, data: DataShape) -> float:
    """FLOPs (a multiply-add is two) of forward and backward of one sample, by torch.utils.flop_counter."""
    kept = model.weights.clone()
    model.module.eval()  # batch norm takes no batch of one
    counter = FlopCounterMode(display=False)
    with counter:
        model.module(torch.zeros(1, *data.sample, dtype=torch.int64 if data.vocabulary else torch.float32)).sum().backward()
    model.gradient.zero_()
    model.load(kept)
    return float(counter.get_total_flops())
