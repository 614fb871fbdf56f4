"""What the trees of ``model: trees`` are like, and the histograms that they are grown from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mpifl.algorithms import cut_points
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


class Shape(NamedTuple):
    """How many trees there are of each of ``sums`` outputs, how deep, on how many features."""

    trees: int
    sums: int
    depth: int
    features: int

    @property
    def levels(self) -> int:
        """The levels that are split, of the trees of one output."""
        return self.trees * self.depth

    def grown_in(self, round_number: int) -> tuple[int, int]:
        """Return which level of which tree is split in a round behind the first ones."""
        return divmod(round_number - cut_points.ROUNDS - 1, self.depth)


def shape_of(layout: Layout) -> Shape:
    """Return the shape of ``model: trees``."""
    trees, sums, leaves = layout.shapes["value"]
    return Shape(trees, sums, leaves.bit_length() - 1, *layout.shapes["importance"])


def histogram(
    x: torch.Tensor,
    cuts: torch.Tensor,
    nodes: np.ndarray,
    count: int,
    first: np.ndarray,
    second: np.ndarray,
) -> np.ndarray:
    """Return the sums of the derivatives of samples in each bin, of each feature and node.

    Args:
        x: The samples (samples, ...).
        cuts: Those of each feature, rising (features, bins - 1): bin b is above cut b - 1 and at
            most cut b.
        nodes: To which node each sample comes (samples, outputs) int64, below ``count``.
        count: How many nodes there are.
        first: The first derivatives of the samples (samples, outputs) float64.
        second: The second ones.

    Returns:
        By output, node, feature, bin, and first and second derivative: one dimension, float64.
    """
    import torch

    x = x.flatten(1).nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    bins = torch.searchsorted(cuts, x.T.contiguous()).T.cpu().numpy()
    features = bins.shape[1]
    width = features * (cuts.shape[1] + 1)
    places = bins + (cuts.shape[1] + 1) * np.arange(features)

    sums = []
    for output in range(nodes.shape[1]):
        at = (places + width * nodes[:, output, None]).ravel()
        of_output = [
            np.bincount(at, np.repeat(each[:, output], features), width * count)
            for each in (first, second)
        ]
        sums.append(np.stack(of_output, 1))
    return np.concatenate(sums).ravel()
