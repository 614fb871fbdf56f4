"""The base class of objectives: what a task's loss is and how a test is scored."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from pydantic import PrivateAttr, model_validator

from mpifl.datasets.dataset import DataShape
from mpifl.job.metrics import LOWER_IS_BETTER
from mpifl.job.section import Section

if TYPE_CHECKING:
    # A job that trains nothing has an objective too, and needs no torch.
    import numpy as np
    import torch
    from torch import nn

IGNORED = -100
"""A target that does not count: behind the end of a sequence or of a batch.

It is torch's default ``ignore_index``.
"""


class Scores(NamedTuple):
    """The test of a batch, sample by sample.

    Attributes:
        scored: Predictions of each sample, (samples,) int64.
        correct: How many of them are right, (samples,) int64; 0 where a task has no right answer.
        loss: The sum of their losses, (samples,) float64.
        counts: The task's own counts, summed over the batch, (counted,) int64.
        rows: Numbers of each sample that ``metrics`` needs one by one, (samples, gathered) float64;
            None for an objective that has none.
    """

    scored: torch.Tensor
    correct: torch.Tensor
    loss: torch.Tensor
    counts: torch.Tensor
    rows: torch.Tensor | None = None


class Objective(Section):
    """The loss and the scores of a task. Its fields are the options of the job's ``objective``.

    Attributes:
        tasks: The tasks of data sets that it is for.
        smooths: Whether it has ``training.label_smoothing``.
        stackable: Whether its loss can be mapped over several clients (torch.vmap).
        measures: What ``metrics`` returns beside accuracy, top5, f1, perplexity, rmse and loss:
            name and description of each, a column of /rounds.
        higher_is_better: Those of ``measures`` of which the higher value is the better one; names
            that mpifl knows (``mpifl/job/metrics.py``) need not be here.
        name: The name in the registry, or of the plug-in.
    """

    tasks: ClassVar[tuple[str, ...]] = ()
    """The tasks of data sets that it is for."""

    smooths: ClassVar[bool] = False
    """Whether it has ``training.label_smoothing``."""

    stackable: ClassVar[bool] = True
    """Whether its loss can be mapped over several clients (torch.vmap)."""

    measures: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What ``metrics`` returns beside the usual ones: columns of /rounds, with descriptions."""

    higher_is_better: ClassVar[tuple[str, ...]] = ()
    """Those of ``measures`` of which the higher value is the better one."""

    name: str
    _outputs: int = PrivateAttr(0)
    _label_smoothing: float = PrivateAttr(0.0)
    _longest: int = PrivateAttr(0)

    @model_validator(mode="after")
    def _known_directions(self) -> Self:
        """Refuse a ``higher_is_better`` that would be read in another way than it is meant."""
        where = f"{type(self).__name__}.higher_is_better"
        names: object = self.higher_is_better
        if isinstance(names, str):  # ("recall") for ("recall",)
            raise ValueError(f'{where}: {names!r} is a text; write ("{names}",)')
        for name in self.higher_is_better:
            if name not in self.measures:
                allowed = ", ".join(self.measures) or "none, as it has no measures"
                raise ValueError(f"{where}: {name!r} is not in its measures; allowed: {allowed}")
            if name in LOWER_IS_BETTER:
                raise ValueError(
                    f"{where}: {name!r} is a metric of which the lower value is the better one"
                    " everywhere in mpifl; give the measure another name"
                )
        return self

    def made_for(self, outputs: int, label_smoothing: float = 0.0, longest: int = 0) -> Self:
        """Return this objective for data with so many outputs.

        ``label_smoothing`` is the job's ``training.label_smoothing``, ``longest`` the length of the
        data's longest sequence.
        """
        made = self.model_copy()
        made._outputs = outputs
        made._label_smoothing = label_smoothing
        made._longest = longest
        return made

    @property
    def outputs(self) -> int:
        """The outputs of the data set: classes, labels, or the columns of its targets."""
        return self._outputs

    @property
    def label_smoothing(self) -> float:
        """The share of a target that is spread evenly over all classes, from 0 to 1."""
        return self._label_smoothing

    @property
    def longest(self) -> int:
        """The length of the data's longest sequence; 0 where samples are features."""
        return self._longest

    def check(self, data: DataShape) -> None:
        """Raise InputError where the objective does not go with data of its task."""

    def model_shape(self, data: DataShape) -> DataShape:
        """Return what the model is built for; by default the shape of the data.

        A model may have another number of outputs than the targets have columns.
        """
        return data

    def wrapped(self, module: nn.Module) -> nn.Module:
        """Return the module that is trained in place of a model's; by default that one.

        For an objective whose samples are not what a model reads: the module around it maps a batch
        of samples to what ``loss`` takes. It may draw from torch's generator, which is seeded for
        each client and test.
        """
        return module

    @property
    def wraps(self) -> bool:
        """Whether it puts a module of its own around the model's."""
        return type(self).wrapped is not Objective.wrapped

    @property
    def passes(self) -> float:
        """Passes without gradients that training a sample takes beside its own, for the clock."""
        return 0.0

    @property
    def counted(self) -> int:
        """The length of ``Scores.counts``."""
        return 0

    @property
    def gathered(self) -> int:
        """Numbers that it needs of each test sample beside the sums (``Scores.rows``)."""
        return 0

    def loss(
        self, output: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, to be differentiated by torch.

        By default the mean of ``sample_losses``.

        Args:
            output: The model's outputs, (samples, ..., outputs) float32.
            y: The targets, (samples, ...).
            mask: Which samples count, (samples,) bool; None when all do.

        Returns:
            A scalar tensor.
        """
        each = self.sample_losses(output, y)
        return each.mean() if mask is None else (each * mask).sum() / mask.sum()

    def sample_losses(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of each sample, of which ``loss`` is the mean.

        Args:
            output: The outputs of one model (samples, ..., outputs), or of several (models,
                samples, ..., outputs).
            y: Their targets.

        Returns:
            (samples,) or (models, samples). A sample with several predictions has their mean, one
            without any 0.
        """
        raise NotImplementedError

    def loss_and_grad(
        self, output: torch.Tensor, y: torch.Tensor, share: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return the mean losses of several models and their gradients, differentiated by hand.

        Args:
            output: The models' outputs, (models, samples, outputs) float32.
            y: The targets, (models, samples, ...).
            share: Each sample's share of its model's mean, (models, samples) or (1, 1).

        Returns:
            The losses (models,) and the gradient of their sum, of the shape of ``output``; None
            for an objective that does not implement this.
        """
        return None

    def scored(self, y: torch.Tensor) -> int | torch.Tensor:
        """Return the number of predictions that ``loss`` is the mean of.

        Args:
            y: The targets of a batch.

        Returns:
            An int, or a scalar tensor on the device of ``y`` where the number has to be counted.
        """
        return len(y)

    def scored_each(
        self, y: torch.Tensor, mask: torch.Tensor | None, counts: np.ndarray
    ) -> np.ndarray | torch.Tensor:
        """Return the number of predictions behind each of several models' mean losses, (models,).

        Args:
            y: The targets, (models, samples, ...).
            mask: Which samples count, (models, samples) bool; None when all do.
            counts: How many samples of each model count, (models,) int64.
        """
        return counts

    def test(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Scores:
        """Return the test of a batch.

        By default ``score`` of what the module puts out. To be overridden where a test calls the
        module in another way.

        Args:
            module: The model, in evaluation mode; no gradients are computed.
            x: The samples, (samples, ...).
            y: The targets, (samples, ...).
        """
        return self.score(module(x), y)

    def score(self, output: torch.Tensor, y: torch.Tensor) -> Scores:
        """Return the test of a batch, from what the module puts out.

        Args:
            output: The model's outputs, (samples, ..., outputs) float32.
            y: The targets, (samples, ...).
        """
        raise NotImplementedError

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        """Return the scores of a whole test by name; names are columns of /rounds.

        Args:
            scored: The number of predictions tested.
            correct: How many of them are right.
            loss: The mean loss over them.
            counts: ``Scores.counts`` summed over all batches, (counted,) int64.
            rows: ``Scores.rows`` of all samples in their order, (samples, gathered) float64.
        """
        raise NotImplementedError
