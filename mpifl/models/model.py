"""What a model is, in a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpifl.job.section import Section

if TYPE_CHECKING:
    from torch import nn


class Model(Section):
    """Base of the models."""

    name: str

    def build(self, sample_shape: tuple[int, ...], classes: int) -> nn.Module:
        """The torch module: (batch, *sample_shape) float32 -> (batch, classes) logits.

        Raises InputError when the samples have a shape that it cannot take.
        """
        raise NotImplementedError
