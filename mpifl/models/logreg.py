"""Multinomial logistic regression."""

from __future__ import annotations

import math

from torch import nn

from mpifl.models.model import Model


class Logreg(Model):
    """One linear layer on the flattened sample."""

    name: str = "logreg"

    def build(self, sample_shape: tuple[int, ...], classes: int) -> nn.Module:
        """See Model."""
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(sample_shape), classes))
