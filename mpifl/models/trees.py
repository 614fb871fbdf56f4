"""Trees of decisions, which are grown and not trained by gradients."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from torch import nn

from mpifl.datasets.dataset import DataShape
from mpifl.job.section import Count
from mpifl.models.model import Model

UNSPLIT = torch.finfo(torch.float32).max
"""The threshold of a node that is not split: every sample goes left."""

DEEPEST = 10

PLACES = 1 << 22
"""The most places in trees that are looked up at a time, for memory."""


class Trees(Model):
    """A sum of decision trees on the flattened sample, for ``algorithm: gbdt``.

    Output k is base_k plus the value of the leaf of each tree k to which the sample comes. In a
    node a sample whose feature is above the threshold goes right, else left; a missing number (NaN)
    goes left. Every tree has 2^depth leaves. Classification with two classes takes one tree a time
    for the difference of the two logits, all else one for each output.

    A model without trees yet puts out 0.
    """

    grown = True

    tasks = ("classification", "multi_label", "regression")

    name: str = "trees"
    trees: Count = Field(50, description="trees for each output")
    depth: int = Field(
        4, ge=1, le=DEEPEST, description="decisions on the way from the root to a leaf"
    )

    def build(self, data: DataShape) -> nn.Module:
        return TreeSum(data, self.trees, self.depth)


class TreeSum(nn.Module):
    """Maps samples (samples, ...) to outputs (samples, outputs), see ``Trees``.

    Attributes:
        task: That of the data.
        two_classes: Whether the outputs are 0 and the sum of one tree a time.
        depth: The decisions on the way to a leaf.
        feature: The feature of each node (trees, sums, nodes); the nodes level by level.
        threshold: The threshold of each node (trees, sums, nodes).
        value: The value of each leaf (trees, sums, leaves), from left to right.
        base: What is added to each sum, (sums,).
        importance: What the splits by each feature have gained, (features,).
    """

    def __init__(self, data: DataShape, trees: int, depth: int) -> None:
        super().__init__()
        self.task = data.task
        self.two_classes = data.task == "classification" and data.outputs == 2
        self.depth = depth

        sums = 1 if self.two_classes else data.outputs
        nodes = (trees, sums, 2**depth - 1)
        self.feature = nn.Parameter(torch.zeros(nodes))
        self.threshold = nn.Parameter(torch.full(nodes, UNSPLIT))
        self.value = nn.Parameter(torch.zeros(trees, sums, 2**depth))
        self.base = nn.Parameter(torch.zeros(sums))
        self.importance = nn.Parameter(torch.zeros(math.prod(data.sample)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = self.sums(x)
        return torch.cat([torch.zeros_like(sums), sums], 1) if self.two_classes else sums

    def sums(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sums (samples, sums) of the trees for samples."""
        at_once = max(1, PLACES // (len(self.value) * len(self.base)))
        rows = x.flatten(1)
        parts = [self._sums(rows[begin : begin + at_once]) for begin in range(0, len(x), at_once)]
        return torch.cat(parts)

    def _sums(self, x: torch.Tensor) -> torch.Tensor:
        leaves = self._down(x, self.feature, self.threshold, self.depth)
        values = self.value.flatten(0, 1).T.gather(0, leaves)
        return self.base + values.view(len(x), *self.value.shape[:2]).sum(1)

    def place(self, x: torch.Tensor, tree: int, level: int) -> torch.Tensor:
        """Return to which node of a level each sample comes, from the left, (samples, sums) int64.

        Of tree number ``tree`` of each sum. The leaves are at level ``depth``.
        """
        own = slice(tree, tree + 1)
        return self._down(x.flatten(1), self.feature[own], self.threshold[own], level)

    def _down(
        self, x: torch.Tensor, feature: torch.Tensor, threshold: torch.Tensor, level: int
    ) -> torch.Tensor:
        """Return to which node of a level samples come, (samples, trees times sums) int64."""
        feature = feature.flatten(0, 1).T.long()
        threshold = threshold.flatten(0, 1).T
        node = torch.zeros(len(x), feature.shape[1], dtype=torch.int64, device=x.device)
        for above in range(level):
            at = 2**above - 1 + node
            right = x.gather(1, feature.gather(0, at)) > threshold.gather(0, at)
            node = 2 * node + right
        return node

    def derivatives(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the derivatives of each sample's loss by its sums, first and second.

        (samples, sums) float64 each. Of the cross-entropy, of classes or of labels, p - y and
        p (1 - p) with the probabilities p; of half the squared error, sum - y and 1.
        """
        sums = self.sums(x).double()
        if self.task == "regression":
            return sums - y, torch.ones_like(sums)
        if self.task == "multi_label" or self.two_classes:
            share = sums.sigmoid()
        else:
            share = sums.softmax(1)
        return share - self.targets(y), share * (1 - share)

    def first_values(self, targets: np.ndarray, samples: float) -> np.ndarray:
        """Return the best constant sums (sums,), without any tree.

        ``targets`` are the sums of the ``targets`` of all samples, (sums,) float64. A class that
        none of the samples has counts as one sample.
        """
        samples = max(samples, 1.0)  # attackers may send less
        if self.task == "regression":
            return targets / samples
        there = np.maximum(targets, 1.0)
        if self.task == "multi_label" or self.two_classes:
            return np.log(there / np.maximum(samples - targets, 1.0))
        return np.log(there / samples)

    def targets(self, y: torch.Tensor) -> torch.Tensor:
        """Return what the sums are to come to, (samples, sums) float64: 0 or 1 for classes."""
        if self.task != "classification":
            return y.double()
        if self.two_classes:
            return y[:, None].double()
        return nn.functional.one_hot(y, len(self.base)).double()
