"""The objective of contrastive learning: views of one sample are alike, those of others are not."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from pydantic import Field
from torch import nn

from mpifl.clock.cost import TRAINING_PER_INFERENCE
from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.objectives.objective import Objective, Scores
from mpifl.objectives.views import Paired, Views

AT_ONCE = 1024
"""Samples whose neighbours are looked for at a time."""


class Contrastive(Objective):
    """SimCLR's loss (NT-Xent) of two views of each sample; accuracy of the nearest neighbours.

    Labels are not learned from. The model has `features` outputs, an embedding that is scaled to
    length 1. The loss of a view is -log of the share that its other view has in the sum over all
    other views of the minibatch of e^(inner product / temperature), that of a sample the mean over
    its two views (Chen et al., arXiv 2002.05709, equation 1). So the batch size matters, in a test
    too; a minibatch of one sample teaches nothing. In a test each sample, as it is, gets the class
    that most of its `neighbours` nearest other test samples have, by the inner product of
    embeddings; of equally many the first class. The score is how often that is right, over all
    test samples at once.
    """

    tasks = ("classification",)
    measures = MappingProxyType(
        {"neighbour_accuracy": "share of samples with the class of their nearest; NaN otherwise"}
    )

    name: str = "contrastive"
    features: int = Field(32, ge=1, description="numbers of an embedding")
    temperature: float = Field(0.5, gt=0, description="what inner products are divided by")
    neighbours: int = Field(5, ge=1, description="neighbours that say the class of a sample")
    views: Views = Field(Views(), description="how views differ from their sample")

    @property
    def passes(self) -> float:
        """The training of the second view."""
        return TRAINING_PER_INFERENCE

    @property
    def gathered(self) -> int:
        """The embedding, and the class."""
        return self.features + 1

    def check(self, data: DataShape) -> None:
        if data.vocabulary:
            raise InputError(
                "objective.name: 'contrastive' is not allowed: the data has tokens; allowed: data"
                " with features"
            )
        if self.views.of_images and len(data.sample) not in (2, 3):
            raise InputError(
                f"objective.views: shift and flip are not allowed for samples of {data.sample};"
                " allowed: shift 0 and flip false, or images"
            )

    def model_shape(self, data: DataShape) -> DataShape:
        return replace(data, outputs=self.features)

    def wrapped(self, module: nn.Module) -> nn.Module:
        return Paired(module, self.views)

    def loss(
        self, output: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if mask is None:
            return self.sample_losses(output, y).mean()
        return (self._losses(output, mask) * mask).sum() / mask.sum()

    def sample_losses(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self._losses(output, None)

    def _losses(self, output: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the loss of each sample (..., samples) of views (..., samples, 2, features).

        ``mask`` (..., samples) tells the samples that others are compared with.
        """
        flat = output.flatten(-3, -2)
        alike = flat @ flat.transpose(-1, -2) / self.temperature
        places = torch.arange(flat.shape[-2], device=output.device)
        others = places != places[:, None]
        if mask is not None:
            others = others & mask.repeat_interleave(2, -1).unsqueeze(-2)
        total = alike.masked_fill(~others, -math.inf).logsumexp(-1)
        of_pair = (alike * (places == (places ^ 1)[:, None])).sum(-1)
        losses = total - of_pair
        return losses.view(*losses.shape[:-1], -1, 2).mean(-1)

    def test(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Scores:
        assert isinstance(module, Paired)
        ones = torch.ones_like(y)
        rows = torch.cat([module.embedded(x), y.unsqueeze(1)], 1).double()
        loss = self.sample_losses(module(x), y).double()
        return Scores(ones, torch.zeros_like(y), loss, ones[:0], rows)

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        """Return neighbour_accuracy and loss.

        The first is NaN for a single sample, and where an embedding is not finite.
        """
        classes = rows[:, -1].astype(np.int64)
        right = np.nan
        if len(rows) > 1 and np.isfinite(rows).all():
            found = class_of_neighbours(rows[:, :-1], classes, self.neighbours)
            right = float(np.mean(found == classes))
        return {"neighbour_accuracy": right, "loss": loss}


def class_of_neighbours(embedded: np.ndarray, classes: np.ndarray, most: int) -> np.ndarray:
    """Return the most frequent class (samples,) int64 of each sample's nearest other ones.

    Args:
        embedded: Where samples are, (samples, features).
        classes: Their classes, (samples,) int64.
        most: How many others are asked; all where there are fewer.
    """
    most = min(most, len(embedded) - 1)
    found = np.empty(len(embedded), np.int64)
    for first in range(0, len(embedded), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        away = -(embedded[some] @ embedded.T)
        away[np.arange(len(away)), first + np.arange(len(away))] = np.inf
        nearest = np.argpartition(away, most - 1, axis=1)[:, :most]
        votes = np.zeros((len(away), int(classes.max()) + 1), np.int64)
        np.add.at(votes, (np.arange(len(away))[:, None], classes[nearest]), 1)
        found[some] = votes.argmax(1)
    return found
