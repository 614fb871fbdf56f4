"""Layers that several models share."""

from __future__ import annotations

import torch
from torch import nn

from mpifl.errors import InputError


def picture(
    name: str, sample: tuple[int, ...], least: int
) -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the first layer of a network on images, and their (channels, height, width).

    ``sample`` is (height, width), to which the layer adds a channel, or (channels, height, width).
    Raises InputError, naming the model ``name``, for other shapes and for fewer than ``least``
    pixels a side.
    """
    shape = (1, *sample) if len(sample) == 2 else sample
    if len(shape) != 3 or min(shape[1:]) < least:
        raise InputError(
            f"model.name: {name} takes images of {least}x{least} or more; the data has {sample}"
        )

    layer = nn.Unflatten(1, (1, sample[0])) if len(sample) == 2 else nn.Identity()
    return layer, (shape[0], shape[1], shape[2])


class Dropout(nn.Module):
    """Dropout as torch.nn.Dropout's, drawn from uniform numbers.

    torch's own layer draws four times as slowly on CPUs that are not Intel's.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Set each number to 0 with probability ``share`` and scale the others by 1 / (1 - share).

        In evaluation mode return ``x`` unchanged.
        """
        if not self.training:
            return x
        return x * ((torch.rand_like(x) >= self.share).to(x.dtype) / (1 - self.share))
