"""From the store to torch: the samples of a slice, copied once or not at all."""

from __future__ import annotations

import numpy as np
import torch

from mpifl.population.dataset import Dataset, Part
from mpifl.training.tasks.task import NOT_THERE


def samples_of(data: Dataset, part: Part, rows: slice, copy: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples and what is to be predicted, of a slice of a part.

    First features (samples, ...) float32, or tokens (samples, length) int64 with ``data.vocabulary`` where a sequence has
    ended. Then classes (samples,) int64, numbers (samples, outputs) float32, or the tokens that follow (samples, length),
    NOT_THERE where there is none. Without ``copy`` they may be those of the store itself, and nobody is to write into them.
    """
    kind = torch.int64 if data.vocabulary else torch.float32
    copy = copy or not (isinstance(data.feature_scale, float) and data.feature_scale == 1.0 and data.feature_shift == 0.0)
    x = _padded(data, part, rows, kind) if part.begin is not None else torch.from_numpy(part.x[rows]).to(kind, copy=copy)
    if not data.vocabulary:
        for scale, operation in ((data.feature_scale, x.mul_), (data.feature_shift, x.add_)):
            neutral = 1.0 if operation == x.mul_ else 0.0
            if isinstance(scale, np.ndarray):
                operation(torch.from_numpy(scale))
            elif scale != neutral:
                operation(scale)
    if part.y is not None:
        return x, torch.from_numpy(part.y[rows])
    following = x[:, 1:].clone()
    following[following == data.vocabulary] = NOT_THERE
    return x[:, :-1], following


def _padded(data: Dataset, part: Part, rows: slice, kind: torch.dtype) -> torch.Tensor:
    """Sequences as long as the longest of them; beyond the end of one stands the token id ``vocabulary``, or 0."""
    assert part.begin is not None
    begin = part.begin[rows.start : rows.stop + 1]
    lengths = np.diff(begin)
    flat = torch.from_numpy(part.x[begin[0] : begin[-1]]).to(kind)
    x = torch.full((len(lengths), int(lengths.max()), *part.x.shape[1:]), data.vocabulary, dtype=kind)
    there = torch.arange(x.shape[1]) < torch.from_numpy(lengths)[:, None]
    x[there] = flat
    return x
