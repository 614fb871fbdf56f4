"""Convolutions over time, for signals of sensors."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import Field, PositiveInt
from torch import nn

from mpifl.errors import InputError
from mpifl.models.model import Model
from mpifl.population.dataset import DataShape


class Cnn1d(Model):
    """Convolutions over time, each with ReLU and pooling by 2, the mean over what time is left, and one linear layer.

    Samples are (time, channels), as HAR's windows of 128 readings of 9 sensors.
    """

    name: str = "cnn1d"
    channels: list[PositiveInt] = Field([32, 64], min_length=1, description="channels of each convolution")
    kernel: int = Field(5, ge=1, description="width of each convolution, in time steps")

    def build(self, data: DataShape) -> nn.Module:
        """See Model."""
        least = 2 ** len(self.channels)
        if len(data.sample) != 2 or data.sample[0] < least:
            raise InputError(
                f"model.name: cnn1d takes signals (time, channels) of {least} readings or more; the data has {data.sample}"
            )
        widths = [data.sample[1], *self.channels]
        layers: list[nn.Module] = [_TimeLast()]
        for wide, narrow in pairwise(widths):
            layers += [nn.Conv1d(wide, narrow, self.kernel, padding="same"), nn.ReLU(), nn.MaxPool1d(2)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(widths[-1], data.outputs))


class _TimeLast(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)
