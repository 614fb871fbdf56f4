"""The exact sum (mpifl/exact_sum.py) of vectors that lie where models are trained, by torch; the same bits."""

from __future__ import annotations

import numpy as np
import torch

from mpifl.exact_sum import FRACTION_BITS, VALUE_LIMIT, accumulate
from mpifl.training.device import CPU


class DeviceSum:
    """Adds to ``part`` (vectors, n) int64; on a GPU in its memory, until ``close`` adds that to ``part``."""

    def __init__(self, part: np.ndarray, device: torch.device) -> None:
        self._part = part
        self._there = None if device == CPU else torch.zeros(part.shape, dtype=torch.int64, device=device)

    def add(self, number: int, values: torch.Tensor, weight: float) -> int | None:
        """Add ``weight`` times values (n,) float32 to vector ``number``; see ``accumulate``."""
        if self._there is None:
            return accumulate(self._part[number], values.numpy(), weight)
        self._there[number] += (values.double() * (weight * 2.0**FRACTION_BITS)).round_().long()
        return unsummable(values)

    def close(self) -> None:
        """Nothing more is added."""
        if self._there is not None:
            self._part += self._there.cpu().numpy()


def unsummable(values: torch.Tensor) -> int | None:
    """The index of the first value that is not finite or not below VALUE_LIMIT; None when there is none."""
    wrong = ~(values.abs() < VALUE_LIMIT)
    return int(wrong.to(torch.uint8).argmax()) if wrong.any() else None
