"""What a model is, in a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mpifl.errors import InputError
from mpifl.job.section import Section
from mpifl.population.dataset import DataShape

if TYPE_CHECKING:
    from torch import nn


class Model(Section):
    """Base of the models: options of a job, from which a torch module is built."""

    reads_tokens: ClassVar[bool] = False
    """Whether samples are sequences of token ids, and not features."""

    name: str

    def build(self, data: DataShape) -> nn.Module:
        """Return the torch module for data of this shape.

        The module maps features (batch, *data.sample) float32, or tokens (batch, length) int64, to (batch, data.outputs). In a
        language task it maps to (batch, length, data.outputs): row k predicts token k + 1 and has not seen it.

        Args:
            data: Task, shape of a sample, number of outputs, and number of token ids.

        Raises:
            InputError: The model cannot take such data.
        """
        raise NotImplementedError

    def build_checked(self, data: DataShape) -> nn.Module:
        """Return ``build(data)`` after a check that the data has what the model reads. Raises InputError."""
        if self.reads_tokens != bool(data.vocabulary):
            takes, has = ("tokens", "features") if self.reads_tokens else ("features", "tokens")
            raise InputError(f"model.name: {self.name!r} is not allowed: it takes {takes}, the data has {has}")
        return self.build(data)
