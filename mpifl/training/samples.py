"""Samples as the store holds them, and their conversion to what a model takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mpifl.datasets.dataset import Dataset, Part
from mpifl.objectives.objective import IGNORED
from mpifl.training.device import CPU, has_room

Samples = tuple[torch.Tensor, torch.Tensor]
"""Inputs of a model, and targets.

Inputs are features (..., *sample) float32, or tokens (..., length) int64, with the pool's
``vocabulary`` behind the end of a sequence. Targets are classes (...) int64, numbers
(..., outputs) float32, or the following tokens (..., length) int64, IGNORED where there is none.
"""


@dataclass(frozen=True)
class Pool:
    """All samples of a part as the store holds them.

    Attributes:
        x: Stored samples, in the file that the ranks of a host share, or on ``device``.
        y: Targets; None when the targets are the following tokens.
        begin: Where each sample begins in ``x``, (samples + 1,) int64; None when all samples have
            the same shape.
        vocabulary: The number of token ids; 0 for features.
        scale: A feature is x * scale + shift.
        shift: See ``scale``.
        device: Where samples are moved when they are read.
        given: How many tokens at the beginning of a sequence are no targets, (samples,) int64;
            None for none.
    """

    x: torch.Tensor
    y: torch.Tensor | None
    begin: np.ndarray | None = None
    vocabulary: int = 0
    scale: float | torch.Tensor = 1.0
    shift: float | torch.Tensor = 0.0
    device: torch.device = CPU
    given: torch.Tensor | None = None

    def read(self, rows: slice, copy: bool = True) -> Samples:
        """Return adjacent samples.

        Without ``copy`` they may share memory with the store and must not be written to.
        """
        y, given = (None if column is None else column[rows] for column in (self.y, self.given))
        if self.begin is not None:
            return self._made(self._padded(rows), y, given)
        return self._made(self.x[rows], y, given, shared=True, copy=copy)

    def some(self, rows: slice, picks: torch.Tensor) -> Samples:
        """Return copies of some of adjacent samples, by their places (n,) int64 in them."""
        if self.begin is None:
            return self.pick(rows.start + picks)
        x, y = self.read(rows)
        return x[picks], y[picks]

    def pick(self, rows: torch.Tensor) -> Samples:
        """Return copies of samples by number (int64, any shape); not for samples with ``begin``."""
        assert self.begin is None
        x, y, given = (
            None if column is None else _picked(column, rows)
            for column in (self.x, self.y, self.given)
        )
        assert x is not None
        return self._made(x, y, given)

    def _made(
        self,
        stored: torch.Tensor,
        y: torch.Tensor | None,
        given: torch.Tensor | None,
        shared: bool = False,
        copy: bool = False,
    ) -> Samples:
        """Convert stored samples to a model's. ``shared``: ``stored`` must not be written to."""
        x = stored.to(self.device).to(torch.int64 if self.vocabulary else torch.float32)
        scaled = _not_neutral(self.scale, 1.0)
        shifted = _not_neutral(self.shift, 0.0)
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
        if given is not None:
            places = torch.arange(1, x.shape[-1], device=self.device)
            following[places < given.to(self.device).unsqueeze(-1)] = IGNORED
        return x[..., :-1], following

    def _padded(self, rows: slice) -> torch.Tensor:
        """Return sequences padded to the longest with the token id ``vocabulary``, or 0.

        Those of which the next token is the target have two at least: one to read, one to predict.
        """
        assert self.begin is not None
        begin = self.begin[rows.start : rows.stop + 1]
        lengths = np.diff(begin)
        flat = self.x[begin[0] : begin[-1]].to(torch.int64 if self.vocabulary else torch.float32)
        longest = max(int(lengths.max()), 2 if self.y is None else 1)
        x = flat.new_full((len(lengths), longest, *flat.shape[1:]), self.vocabulary)
        x[torch.arange(x.shape[1]) < torch.from_numpy(lengths)[:, None]] = flat
        return x


def _not_neutral(change: float | torch.Tensor, neutral: float) -> bool:
    return isinstance(change, torch.Tensor) or change != neutral


def _picked(column: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    flat = column.index_select(0, rows.reshape(-1).to(column.device))
    return flat.view(*rows.shape, *column.shape[1:])


def pool_of(data: Dataset, part: Part, device: torch.device = CPU) -> Pool:
    """Return the samples of a part, moved to ``device`` where there is room for all of them."""
    x = torch.from_numpy(part.x)
    y = None if part.y is None else torch.from_numpy(part.y)
    if part.begin is None and has_room(device, x.nbytes + (0 if y is None else y.nbytes)):
        x = x.to(device)
        y = None if y is None else y.to(device)

    scale, shift = (
        torch.from_numpy(value).to(device) if isinstance(value, np.ndarray) else value
        for value in (data.feature_scale, data.feature_shift)
    )
    if data.task == "language":
        return Pool(x, None, part.begin, data.vocabulary, scale, shift, device, given=y)
    return Pool(x, y, part.begin, data.vocabulary, scale, shift, device)
