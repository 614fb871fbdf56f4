"""What training costs, counted."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from mpifl.models.flat import FlatModel


def training_flops(model: FlatModel, sample_shape: tuple[int, ...]) -> float:
    """FLOPs (a multiply-add is two) of forward and backward of one sample, by torch.utils.flop_counter."""
    kept = model.weights.clone()
    model.module.eval()  # batch norm takes no batch of one
    counter = FlopCounterMode(display=False)
    with counter:
        model.module(torch.zeros(1, *sample_shape)).sum().backward()
    model.gradient.zero_()
    model.load(kept)
    return float(counter.get_total_flops())
