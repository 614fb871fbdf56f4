"""A model of which only the size matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.models.model import Model

if TYPE_CHECKING:
    from torch import nn


class Sized(Model):
    """A number of parameters and of FLOPs a sample, for runs that only time the rounds."""

    name: str = "sized"
    parameters: int = Field(1_000_000, ge=1, le=10**12, description="float32 weights")
    training_flops: float = Field(
        0.0, ge=0, description="FLOPs of one training sample, for clock.latency.compute: flops"
    )

    def build_checked(self, data: DataShape) -> nn.Module:
        """Raise InputError: there is nothing to build."""
        raise InputError(
            "model.name: sized is not allowed: it has no weights to train"
            " (training.engine: none would time it)"
        )
