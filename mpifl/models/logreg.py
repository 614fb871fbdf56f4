"""Multinomial logistic regression."""

from __future__ import annotations

import math

from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.models.model import Model


class Logreg(Model):
    """One linear layer on the flattened sample."""

    name: str = "logreg"

    def build(self, data: DataShape) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(data.sample), data.outputs))
