"""How the nodes of a level of trees are split, given the histograms of the gradients.

Chen & Guestrin, XGBoost (arXiv 1603.02754), equations 5 to 7: with G and H the sums of the first
and second derivatives of the samples of a node, its best value is -G / (H + l2), and a split gains
1/2 (GL^2 / (HL + l2) + GR^2 / (HR + l2) - G^2 / (H + l2)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Splits:
    """The splits of nodes (...).

    Attributes:
        gain: What the split of a node gains; 0 where it is not split: all its samples go left.
        feature: Which feature it is split by, int64; 0 where it is not.
        cut: At which cut of that feature, int64; 0 where it is not.
        left: The sums (..., 2) of both derivatives of the samples that go left.
        right: Of those that go right.
    """

    gain: np.ndarray
    feature: np.ndarray
    cut: np.ndarray
    left: np.ndarray
    right: np.ndarray


def best_splits(
    histogram: np.ndarray, l2: float, least_gain: float, least_hessian: float
) -> Splits:
    """Return the splits of largest gain; of those that are alike the first.

    Args:
        histogram: Sums of both derivatives in each bin, (..., features, bins, 2) float64.
        l2: Added to the second derivatives of a node.
        least_gain: A split has to gain more.
        least_hessian: The second derivatives of both sides have to come to as much.
    """
    up_to = histogram.cumsum(-2)
    whole = up_to[..., -1, :]  # (..., features, 2), but for rounding the same for all features
    left = up_to[..., :-1, :]
    right = whole[..., None, :] - left

    gain = (score(left, l2) + score(right, l2) - score(whole, l2)[..., None]) / 2
    heavy = (left[..., 1] >= least_hessian) & (right[..., 1] >= least_hessian)
    gain = np.where(heavy & (gain > least_gain), gain, -np.inf)

    cuts = gain.shape[-1]
    gain = gain.reshape(*gain.shape[:-2], -1)
    best = gain.argmax(-1)
    gained = np.take_along_axis(gain, best[..., None], -1)[..., 0]
    split = gained > -np.inf
    feature, cut = np.divmod(np.where(split, best, 0), cuts)

    total = whole[..., 0, :]
    sides = left.reshape(*left.shape[:-3], -1, 2)
    to_left = np.take_along_axis(sides, best[..., None, None], -2)[..., 0, :]
    to_left = np.where(split[..., None], to_left, total)
    return Splits(np.where(split, gained, 0.0), feature, cut, to_left, total - to_left)


def score(sums: np.ndarray, l2: float) -> np.ndarray:
    """Return G^2 / (H + l2) of sums (..., 2); 0 where the denominator is."""
    denominator = sums[..., 1] + l2
    above = denominator > 0
    square = sums[..., 0] ** 2
    return np.divide(square, denominator, out=np.zeros_like(square), where=above)


def best_value(sums: np.ndarray, l2: float) -> np.ndarray:
    """Return -G / (H + l2) of sums (..., 2); 0 where the denominator is."""
    denominator = sums[..., 1] + l2
    above = denominator > 0
    value = -sums[..., 0]
    return np.divide(value, denominator, out=np.zeros_like(value), where=above)
