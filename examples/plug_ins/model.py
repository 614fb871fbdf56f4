"""A model of one's own: a residual network of linear layers."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.models.model import Model


class Residual(Model):
    """Linear layers of equal width, each added to its input (He et al., arXiv 1512.03385)."""

    name: str = "residual"
    width: int = Field(32, ge=1, description="units of each layer")
    blocks: int = Field(2, ge=1, description="number of residual blocks")

    def build(self, data: DataShape) -> nn.Module:
        """Return the network for samples of shape ``data.sample`` and ``data.outputs`` classes."""
        inputs = math.prod(data.sample)
        blocks = [Block(self.width) for _ in range(self.blocks)]
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, self.width),
            *blocks,
            nn.Linear(self.width, data.outputs),
        )


class Block(nn.Module):
    """A layer whose output is added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, width) to (batch, width)."""
        return x + torch.relu(self.layer(x))
