"""A plug-in of the tests: a small network with convolutions, batch norm, and units that put out 1/2 for 0."""

from __future__ import annotations

import math

from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.models.model import Model

HERE = __file__


def network(outputs: int, width: float = 1.0) -> nn.Sequential:
    """The network for images of 8x8 pixels; of each hidden layer a share."""
    first, second, units = (math.ceil(width * size) for size in (6, 5, 12))
    return nn.Sequential(
        nn.Unflatten(1, (1, 8)),
        nn.Conv2d(1, first, 3),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 2),
        nn.Flatten(),
        nn.Linear(4 * second, units),
        nn.Sigmoid(),
        nn.Linear(units, outputs),
    )


class Convolved(Model):
    """That network, whole."""

    name: str = "convolved"

    def build(self, data: DataShape) -> nn.Module:
        """See Model."""
        return network(data.outputs)
