"""The number of floating-point operations (FLOPs) of training."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from mpifl.datasets.dataset import DataShape
from mpifl.models.flat import FlatModel


def training_flops(model: FlatModel, data: DataShape) -> float:
    """Return the FLOPs of the forward and backward pass of one sample.

    They are counted by torch.utils.flop_counter; a multiply-add is two. The model's weights are
    restored afterwards.
    """
    kept = model.moving.clone()
    model.module.eval()  # in training mode batch norm refuses a batch of one sample
    dtype = torch.int64 if data.vocabulary else torch.float32

    counter = FlopCounterMode(display=False)
    with counter:
        model.module(torch.zeros(1, *data.sample, dtype=dtype)).sum().backward()

    model.gradient.zero_()
    model.load(kept)
    return float(counter.get_total_flops())
