"""Scaling of features to mean 0 and deviation 1 over the train part, computed while it is read."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mpifl.errors import InputError

Normalise = Literal["standard", "unit", "none"]
"""standard: mean 0, deviation 1 over the train part; unit: bytes from 0 to 1; none: unchanged."""

NORMALISE_HELP = "mean 0 and deviation 1 over train; bytes from 0 to 1; or unchanged"

Scaling = tuple[float | np.ndarray, float | np.ndarray]
"""feature_scale and feature_shift of a Description."""

_ROWS_BYTES = 1 << 18  # converted to float64 at once, which is eight times as large as bytes are


class Moments:
    """Mean and deviation of all values, or (``axis``) for each index of one axis of the samples.

    Partial results are merged as in Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979. The deviation is that of a population (the sum
    of squares is divided by the count).
    """

    def __init__(self, axis: int | None = None) -> None:
        self._axis = axis
        self._count = 0
        self._mean: np.ndarray = np.zeros(1)
        self._squares: np.ndarray = np.zeros(1)
        self._shape: tuple[int, ...] = ()

    def add(self, x: np.ndarray) -> None:
        """Add samples (samples, ...). Axis 0 of ``axis`` is the axis of the samples."""
        rows = max(1, _ROWS_BYTES // max(1, x[:1].nbytes))
        for start in range(0, len(x), rows):
            self._add(x[start : start + rows].astype(np.float64))

    def _add(self, x: np.ndarray) -> None:
        others = (
            None
            if self._axis is None
            else tuple(k for k in range(x.ndim) if k != self._axis % x.ndim)
        )
        mean = x.mean(axis=others, keepdims=True)
        squares = np.square(x - mean).sum(axis=others, keepdims=True)
        count = x.size // mean.size
        if count == 0:
            return

        self._shape = mean.shape[1:]
        mean = mean.reshape(-1)
        squares = squares.reshape(-1)
        total = self._count + count
        change = mean - self._mean
        self._squares = self._squares + squares + np.square(change) * (self._count * count / total)
        self._mean = self._mean + change * (count / total)
        self._count = total

    def scaling(self, normalise: Normalise, kind: np.dtype, option: str = "--normalise") -> Scaling:
        """Return scale and shift that make features of stored values of type ``kind``.

        Arrays are float32 and broadcast to a sample. A value that is constant over the train part
        is only shifted. Raise InputError if "unit" is asked for values that are not bytes.
        """
        if normalise == "none":
            return 1.0, 0.0
        if normalise == "unit":
            if kind != np.uint8:
                raise InputError(
                    f"{option}: 'unit' is for bytes; the values are {kind}; allowed: standard, none"
                )
            return 1 / 255, 0.0

        deviation = np.sqrt(self._squares / max(1, self._count))
        scale = 1 / np.where(deviation > 0, deviation, 1)
        shift = -self._mean * scale
        if self._axis is None:
            return float(scale[0]), float(shift[0])
        return (
            scale.reshape(self._shape).astype(np.float32),
            shift.reshape(self._shape).astype(np.float32),
        )
