"""From the store to torch: samples as the store has them, and as a model takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mpifl.datasets.dataset import Dataset, Part
from mpifl.objectives.objective import IGNORED
from mpifl.training.device import CPU, has_room

Samples = tuple[torch.Tensor, torch.Tensor]
"""What a model takes, and what it is to predict.

First features (..., *sample) float32, or tokens (..., length) int64 with the pool's ``vocabulary`` where a sequence has ended.
Then classes (...) int64, numbers (..., outputs) float32, or the tokens that follow (..., length), with IGNORED where there is
none.
"""


@dataclass(frozen=True)
class Pool:
    """All samples of a part as the store has them: ``x``, ``y`` (None: the tokens that follow) and ``begin`` of a Part.

    They lie in the file, which the ranks of a host share, or on ``device``, where those are that are taken from it. A feature
    is x * scale + shift.
    """

    x: torch.Tensor
    y: torch.Tensor | None
    begin: np.ndarray | None = None
    vocabulary: int = 0
    scale: float | torch.Tensor = 1.0
    shift: float | torch.Tensor = 0.0
    device: torch.device = CPU

    def read(self, rows: slice, copy: bool = True) -> Samples:
        """Samples that lie side by side. Without ``copy`` they may be those of the store: nobody is to write into them."""
        y = None if self.y is None else self.y[rows]
        if self.begin is not None:
            return self._made(self._padded(rows), y)
        return self._made(self.x[rows], y, shared=True, copy=copy)

    def pick(self, rows: torch.Tensor) -> Samples:
        """Copies of samples by number (int64, any shape). Not where samples have lengths of their own."""
        assert self.begin is None
        x, y = (None if column is None else _picked(column, rows) for column in (self.x, self.y))
        assert x is not None
        return self._made(x, y)

    def _made(self, stored: torch.Tensor, y: torch.Tensor | None, shared: bool = False, copy: bool = False) -> Samples:
        """From what the store has to what a model takes; what is ``shared`` with the store is not written into."""
        x = stored.to(self.device).to(torch.int64 if self.vocabulary else torch.float32)
        scaled, shifted = _not_neutral(self.scale, 1.0), _not_neutral(self.shift, 0.0)
        if x is stored and shared and (copy or scaled or shifted):
            x = x.clone()
        if scaled:
            x.mul_(self.scale)
        if shifted:
            x.add_(self.shift)
        if y is not None:
            return x, y.to(self.device)
        following = x[..., 1:].clone()
        following[following == self.vocabulary] = IGNORED
        return x[..., :-1], following

    def _padded(self, rows: slice) -> torch.Tensor:
        """Sequences as long as the longest of them; beyond the end of one stands the token id ``vocabulary``, or 0."""
        assert self.begin is not None
        begin = self.begin[rows.start : rows.stop + 1]
        lengths = np.diff(begin)
        flat = self.x[begin[0] : begin[-1]].to(torch.int64 if self.vocabulary else torch.float32)
        x = flat.new_full((len(lengths), int(lengths.max()), *flat.shape[1:]), self.vocabulary)
        x[torch.arange(x.shape[1]) < torch.from_numpy(lengths)[:, None]] = flat
        return x


def _not_neutral(change: float | torch.Tensor, neutral: float) -> bool:
    return isinstance(change, torch.Tensor) or change != neutral


def _picked(column: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return column.index_select(0, rows.reshape(-1).to(column.device)).view(*rows.shape, *column.shape[1:])


def pool_of(data: Dataset, part: Part, device: torch.device = CPU) -> Pool:
    """The samples of a part, moved to ``device`` where there is room for all of them."""
    x, y = torch.from_numpy(part.x), None if part.y is None else torch.from_numpy(part.y)
    if part.begin is None and has_room(device, x.nbytes + (0 if y is None else y.nbytes)):
        x, y = x.to(device), None if y is None else y.to(device)
    scale, shift = (
        torch.from_numpy(value).to(device) if isinstance(value, np.ndarray) else value
        for value in (data.feature_scale, data.feature_shift)
    )
    return Pool(x, y, part.begin, data.vocabulary, scale, shift, device)
