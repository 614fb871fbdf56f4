"""Layers that several models have."""

from __future__ import annotations

import torch
from torch import nn

from mpifl.errors import InputError


def picture(name: str, sample: tuple[int, ...], least: int) -> tuple[nn.Module, tuple[int, int, int]]:
    """The first layer of a network on pictures, and their (channels, height, width).

    Samples are (height, width), which get a channel, or (channels, height, width). Raises InputError, in which the model has
    its ``name``, for others and for fewer than ``least`` pixels a side.
    """
    shape = (1, *sample) if len(sample) == 2 else sample
    if len(shape) != 3 or min(shape[1:]) < least:
        raise InputError(f"model.name: {name} takes images of {least}x{least} or more; the data has {sample}")
    return nn.Unflatten(1, (1, sample[0])) if len(sample) == 2 else nn.Identity(), (shape[0], shape[1], shape[2])


class Dropout(nn.Module):
    """As torch.nn.Dropout, from uniform numbers: torch's own draws four times as slowly on CPUs that are not Intel's."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each number is 0 with probability ``share``, else it grows so that the mean stays; in tests x as it is."""
        if not self.training:
            return x
        return x * ((torch.rand_like(x) >= self.share).to(x.dtype) / (1 - self.share))
