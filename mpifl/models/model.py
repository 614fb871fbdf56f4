"""What a model is, in a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.job.section import Section

if TYPE_CHECKING:
    from torch import nn


class Model(Section):
    """Base of the models. ``reads_tokens`` says whether samples are sequences of token ids, or features."""

    reads_tokens: ClassVar[bool] = False

    name: str

    def build(self, data: DataShape) -> nn.Module:
        """The torch module for data of this shape. Raises InputError when it cannot take it.

        It maps features (batch, *data.sample) float32, or tokens (batch, length) int64, to (batch, data.outputs); in a language
        task to (batch, length, data.outputs), whose row k predicts the token after the k-th and has not seen it.
        """
        raise NotImplementedError

    def build_checked(self, data: DataShape) -> nn.Module:
        """As ``build``, once it is clear that the data is of the right kind. Raises InputError."""
        if self.reads_tokens != bool(data.vocabulary):
            takes, has = ("tokens", "features") if self.reads_tokens else ("features", "tokens")
            raise InputError(f"model.name: {self.name!r} is not allowed: it takes {takes}, the data has {has}")
        return self.build(data)
