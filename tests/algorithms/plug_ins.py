"""Plug-ins to compare with: a network with batch norm, and FedAvg in which every participant counts the same."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from mpifl.algorithms.fedavg import FedAvg
from mpifl.datasets.dataset import DataShape
from mpifl.models.model import Model

HERE = __file__
BATCH_NORM = f"model={HERE}:BatchNorm"
EVEN = f"algorithm={HERE}:Even"


class BatchNorm(Model):
    """A hidden layer of 16 with batch norm."""

    name: str = "batch_norm"

    def build(self, data: DataShape) -> nn.Module:
        """See Model."""
        first, last = nn.Linear(math.prod(data.sample), 16), nn.Linear(16, data.outputs)
        return nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(16), nn.ReLU(), last)


class Even(FedAvg):
    """FedAvg in which every participant counts the same."""

    name: str = "even"

    def weight(self, samples: np.ndarray) -> np.ndarray:
        """See Algorithm."""
        return np.ones(len(samples))
