"""The base class of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.job.section import Section
from mpifl.models.lora import Lora

if TYPE_CHECKING:
    from torch import nn


class Model(Section):
    """A model that a job can name. Its fields are the options of the job's ``model`` section.

    Attributes:
        reads_tokens: Whether samples are sequences of token ids; otherwise they are features.
        tasks: What it is for: the tasks of data sets, and ``reconstruction``, to which the
            objective anomaly turns a classification.
        grown: Whether algorithms that grow trees make it, and not gradients.
        adapts_network: Whether ``lora`` is for the module's attribute ``network``, a network of
            transformers; otherwise it is for the module itself.
        name: The name in the registry, or of the plug-in.
        initial: Where the first weights come from, if not from ``build``.
        lora: Adapters that are trained instead of the weights.
    """

    left_to_plug_ins: ClassVar[tuple[str, ...]] = ("build",)

    reads_tokens: ClassVar[bool] = False
    """Whether samples are sequences of token ids, and not features."""

    tasks: ClassVar[tuple[str, ...]] = (
        "classification",
        "multi_label",
        "regression",
        "language",
    )
    """What it is for: tasks of data sets, or ``reconstruction`` (of the objective anomaly)."""

    adapts_network: ClassVar[bool] = False
    """Whether ``lora`` is for the attribute ``network`` of the module, one of transformers."""

    grown: ClassVar[bool] = False
    """Whether it is made by algorithms that grow trees (``Algorithm.grows``), not by gradients."""

    name: str
    initial: str | None = Field(
        None,
        description="a run directory, or a .safetensors file, from whose weights the run starts;"
        " default: those that the model is built with",
    )
    lora: Lora | None = Field(
        None, description="freeze the model and train small adapters beside its layers (PEFT)"
    )

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

    def summary(self, module: nn.Module) -> dict[str, Any]:
        """Return what the trained weights say that summary.json is to have; by default nothing.

        Such as an architecture. ``module`` is as ``build`` made it, with the weights of the run's
        end.
        """
        return {}

    def files(self) -> tuple[Path, ...]:
        """Return the files that ``build`` reads: a run is not resumed with others.

        Raises InputError when there is none of those that the options name.
        """
        return ()

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
        self.check_task(data)
        return self.build(data)

    def check_task(self, data: DataShape) -> None:
        """Raise InputError when the model is not for the task."""
        if data.task not in self.tasks:
            raise InputError(
                f"model.name: {self.name!r} is not allowed for {data.task}: it is for"
                f" {', '.join(self.tasks)}"
            )
