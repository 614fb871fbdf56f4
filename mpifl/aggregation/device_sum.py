"""The exact sum (mpifl/aggregation/exact_sum.py) of vectors that lie where models are trained, by torch; the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from mpifl.aggregation.exact_sum import (
    AVERAGE_LIMIT,
    HIGH_BITS,
    LOW_BITS,
    VALUE_LIMIT,
    RoundSum,
    accumulate,
    value_limit,
)
from mpifl.training.device import CPU

Label = tuple[int, str | None]
"""Whose values are added, and which: the client, and the name of the vector (None: averaged buffers)."""


class Wrong(NamedTuple):
    """A value that cannot be summed, and its place in the vector."""

    label: Label
    value: float
    place: int


class DeviceSum:
    """Adds to ``part``, whose vectors have units of 2**-bits; on a GPU in its memory, until ``close`` adds that to ``part``."""

    def __init__(self, part: RoundSum, bits: Sequence[int], device: torch.device) -> None:
        self._part, self._bits = part, bits
        self._there = None if device == CPU else [_zeros(total, device) for total in part]
        self._added: list[tuple[Label, torch.Tensor, float]] = []

    def add(self, number: int, values: torch.Tensor, weight: float, label: Label) -> Wrong | None:
        """Add ``weight`` times values (n,) float32 to vector ``number``; returns what is wrong with them.

        On a GPU what is wrong is not found before ``close``, so that it is not waited for.
        """
        bits = self._bits[number]
        if self._there is None:
            wrong = accumulate(self._part.vectors[number], values.numpy(), weight, bits)
            return None if wrong is None else Wrong(label, float(values[wrong]), wrong)
        self._there[0][number] += (values.double() * (weight * 2.0**bits)).round_().long()
        self._added.append((label, values, value_limit(bits)))
        return None

    def add_averages(self, values: torch.Tensor, weight: float, label: Label) -> Wrong | None:
        """As ``add``, to the sum in two parts."""
        parts = _parts(values, weight)
        if self._there is None:
            wrong = unsummable(values, AVERAGE_LIMIT)
            if wrong is not None:
                return Wrong(label, float(values[wrong]), wrong)
            self._part.averages[:] += parts.numpy()
            return None
        self._there[1] += parts
        self._added.append((label, values, AVERAGE_LIMIT))
        return None

    def close(self) -> Wrong | None:
        """Nothing more is added. Returns the first that is wrong of all that was added; then nothing of it is in ``part``."""
        if self._there is None or not self._added:
            return None
        wrong = torch.stack(
            [_wrong(values, limit).any() for _, values, limit in self._added]
        ).tolist()  # of all at once
        if True in wrong:
            label, values, limit = self._added[wrong.index(True)]
            index = _first(_wrong(values, limit))
            return Wrong(label, float(values[index]), index)
        for total, there in zip(self._part, self._there, strict=True):
            total += there.cpu().numpy()
        return None


def unsummable(values: torch.Tensor, limit: float = VALUE_LIMIT) -> int | None:
    """The index of the first value that is not finite or not below ``limit``; None when there is none."""
    wrong = _wrong(values, limit)
    return _first(wrong) if wrong.any() else None


def _zeros(like: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.zeros(like.shape, dtype=torch.int64, device=device)


def _parts(values: torch.Tensor, weight: float) -> torch.Tensor:
    """``weight`` times values (n,) float32 in two parts (2, n) int64, the second of what rounding leaves of the first."""
    terms = values.double() * weight
    high = (terms * 2.0**HIGH_BITS).round_()
    low = ((terms - high * 2.0**-HIGH_BITS) * 2.0**LOW_BITS).round_()
    return torch.stack([high, low]).long()


def _wrong(values: torch.Tensor, limit: float) -> torch.Tensor:
    return ~(values.abs() < limit)


def _first(wrong: torch.Tensor) -> int:
    return int(wrong.to(torch.uint8).argmax())
