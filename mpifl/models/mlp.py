"""Multilayer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field, PositiveInt
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.models.model import Model


class Mlp(Model):
    """Linear layers with ReLU between them, on the flattened sample.

    Hidden layers [200, 200] are the 2NN of McMahan et al. (arXiv 1602.05629).
    """

    name: str = "mlp"
    hidden: list[PositiveInt] = Field(
        [200, 200], min_length=1, description="width of each hidden layer"
    )

    def build(self, data: DataShape) -> nn.Module:
        widths = [math.prod(data.sample), *self.hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], data.outputs))
