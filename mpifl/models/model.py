"""The base class of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.job.section import Section

if TYPE_CHECKING:
    from torch import nn


class Model(Section):
    """A model that a job can name. Its fields are the options of the job's ``model`` section.

    Attributes:
        reads_tokens: Whether samples are sequences of token ids; otherwise they are features.
        name: The name in the registry, or of the plug-in.
    """

    reads_tokens: ClassVar[bool] = False
    """Whether samples are sequences of token ids, and not features."""

    name: str

    def build(self, data: DataShape) -> nn.Module:
        """Return a new torch module for data of this shape.

        The module maps a batch of features (batch, *data.sample) float32, or of tokens
        (batch, length) int64, to (batch, data.outputs). In a language task it maps tokens to
        (batch, length, data.outputs): row k predicts the token after the k-th and must not
        depend on later tokens.

        Args:
            data: The task, the shape of a sample, the number of outputs and of token ids.

        Returns:
            The module, with its weights as they are before the first round.

        Raises:
            InputError: The model does not take data of this shape.
        """
        raise NotImplementedError

    def build_checked(self, data: DataShape) -> nn.Module:
        """Return ``build(data)`` after checking that the samples are of the right kind.

        Args:
            data: As for ``build``.

        Returns:
            The module.

        Raises:
            InputError: The model reads tokens and the data has features, or the other way round;
                or ``build`` raises it.
        """
        if self.reads_tokens != bool(data.vocabulary):
            takes, has = ("tokens", "features") if self.reads_tokens else ("features", "tokens")
            raise InputError(
                f"model.name: {self.name!r} is not allowed: it takes {takes}, the data has {has}"
            )
        return self.build(data)
