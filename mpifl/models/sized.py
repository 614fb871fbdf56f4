"""A model of which only the size matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.errors import InputError
from mpifl.models.model import Model
from mpifl.population.dataset import DataShape

if TYPE_CHECKING:
    from torch import nn


class Sized(Model):
    """A model that only has a size: for runs that simulate time and train nothing."""

    name: str = "sized"
    parameters: int = Field(1_000_000, ge=1, le=10**12, description="number of float32 weights")
    training_flops: float = Field(0.0, ge=0, description="FLOPs of one training sample, for clock.latency.compute: flops")

    def build_checked(self, data: DataShape) -> nn.Module:
        """See Model. There is nothing to build."""
        raise InputError("model.name: sized is not allowed: it has no weights to train (training.engine: none would time it)")
