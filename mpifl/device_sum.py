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
        self._added: list[torch.Tensor] = []

    def add(self, number: int, values: torch.Tensor, weight: float) -> int | None:
        """Add ``weight`` times values (n,) float32 to vector ``number``; see ``accumulate``.

        On a GPU what is wrong is not found before ``close``, so that it is not waited for.
        """
        if self._there is None:
            return accumulate(self._part[number], values.numpy(), weight)
        self._there[number] += (values.double() * (weight * 2.0**FRACTION_BITS)).round_().long()
        self._added.append(values)
        return None

    def close(self) -> tuple[int, torch.Tensor, int] | None:
        """Nothing more is added. Returns the first wrong one: its number of all that was added, its values, which of them."""
        if self._there is None or not self._added:
            return None
        wrong = torch.stack([_wrong(values).any() for values in self._added]).tolist()  # of all of them at once
        if True in wrong:
            values = self._added[wrong.index(True)]
            return wrong.index(True), values, _first(_wrong(values))
        self._part += self._there.cpu().numpy()
        return None


def unsummable(values: torch.Tensor) -> int | None:
    """The index of the first value that is not finite or not below VALUE_LIMIT; None when there is none."""
    wrong = _wrong(values)
    return _first(wrong) if wrong.any() else None


def _wrong(values: torch.Tensor) -> torch.Tensor:
    return ~(values.abs() < VALUE_LIMIT)


def _first(wrong: torch.Tensor) -> int:
    return int(wrong.to(torch.uint8).argmax())
