"""The exact sum (exact_sum.py) of vectors on the device where models are trained, by torch.

The bits are the same.
"""

from __future__ import annotations

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
from mpifl.aggregation.sum_layout import SumLayout
from mpifl.training.device import CPU

Label = tuple[int, int | None]
"""Whose values are added: the client, and the number of the array (None: averaged buffers)."""


class Wrong(NamedTuple):
    """A value that cannot be summed, and its place in the array."""

    label: Label
    value: float
    place: int


class DeviceSum:
    """Adds updates to ``part``, the running sums of a round, which ``layout`` describes.

    On a GPU the sum is kept in its memory; ``close`` adds it to ``part``.
    """

    def __init__(self, part: RoundSum, layout: SumLayout, device: torch.device) -> None:
        self._part = part
        self._layout = layout
        # None on the CPU, where ``part`` itself is added to.
        self._on_device = None if device == CPU else [_zeros(total, device) for total in part]
        self._added: list[tuple[Label, torch.Tensor, float]] = []

    def add(
        self, number: int, slot: int, values: torch.Tensor, weight: float, label: Label
    ) -> Wrong | None:
        """Add ``weight`` times values (size,) float32 to array ``number`` of a slot.

        Returns the first value that cannot be summed, or None. On a GPU ``close`` returns it
        instead, so that nothing waits for the GPU.
        """
        array = self._layout.arrays[number]
        place = array.place(slot)
        if self._on_device is None:
            total = self._part.vectors[place]
            wrong = accumulate(total, values.numpy(), weight, array.bits)
            return None if wrong is None else Wrong(label, float(values[wrong]), wrong)

        terms = (values.double() * (weight * 2.0**array.bits)).round_().long()
        self._on_device[0][place] += terms
        self._added.append((label, values, value_limit(array.bits)))
        return None

    def add_units(self, number: int, slot: int, units: np.ndarray) -> None:
        """Add whole units (size,) int64 to array ``number`` of a slot."""
        place = self._layout.arrays[number].place(slot)
        if self._on_device is None:
            self._part.vectors[place] += units
        else:
            self._on_device[0][place] += torch.from_numpy(units).to(self._on_device[0].device)

    def add_averages(
        self, slot: int, values: torch.Tensor, weight: float, label: Label
    ) -> Wrong | None:
        """Add ``weight`` times averaged buffers to the sum in two parts; return as ``add`` does."""
        parts = in_two_parts(values, weight)
        if self._on_device is None:
            wrong = unsummable(values, AVERAGE_LIMIT)
            if wrong is not None:
                return Wrong(label, float(values[wrong]), wrong)
            self._part.averages[slot] += parts.numpy()
            return None

        self._on_device[1][slot] += parts
        self._added.append((label, values, AVERAGE_LIMIT))
        return None

    def close(self) -> Wrong | None:
        """End the sum, and on a GPU add it to ``part``.

        Returns the first value on a GPU that cannot be summed, or None. If there is one, nothing is
        added to ``part``.
        """
        if self._on_device is None or not self._added:
            return None

        # All vectors are checked with one transfer from the GPU.
        checks = [_wrong(values, limit).any() for _, values, limit in self._added]
        wrong = torch.stack(checks).tolist()
        if True in wrong:
            label, values, limit = self._added[wrong.index(True)]
            index = _first(_wrong(values, limit))
            return Wrong(label, float(values[index]), index)

        for total, device_total in zip(self._part, self._on_device, strict=True):
            total += device_total.cpu().numpy()
        return None


def unsummable(values: torch.Tensor, limit: float = VALUE_LIMIT) -> int | None:
    """Return the index of the first value that is not finite or not below ``limit``, or None."""
    wrong = _wrong(values, limit)
    return _first(wrong) if wrong.any() else None


def _zeros(like: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.zeros(like.shape, dtype=torch.int64, device=device)


def in_two_parts(values: torch.Tensor, weight: float) -> torch.Tensor:
    """Return ``weight`` times values (n,) float32 as two parts (2, n) int64.

    The second part is what rounding leaves of the first.
    """
    terms = values.double() * weight
    high = (terms * 2.0**HIGH_BITS).round_()
    low = ((terms - high * 2.0**-HIGH_BITS) * 2.0**LOW_BITS).round_()
    return torch.stack([high, low]).long()


def _wrong(values: torch.Tensor, limit: float) -> torch.Tensor:
    return ~(values.abs() < limit)


def _first(wrong: torch.Tensor) -> int:
    return int(wrong.to(torch.uint8).argmax())
