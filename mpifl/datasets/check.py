"""Check once, on rank 0, everything in a data set that all ranks rely on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpifl.datasets.dataset import TASKS, Dataset, Part
from mpifl.errors import InputError

Y_TYPES = {
    "classification": (np.int64, 1, "int64 (samples,)"),
    "regression": (np.float32, 2, "float32 (samples, outputs)"),
}
"""By task: type and number of axes of y, and both as text. Other tasks have no y."""


def check_dataset(path: Path, data: Dataset) -> None:
    """Raise InputError for anything that training cannot rely on.

    The error names the file, the part, and the client or row.
    """
    _check_attributes(path, data)

    for name, part in data.parts.items():
        _check_clients(f"{path}: {name}", part)
        _check_samples(f"{path}: {name}", part)
        _check_labels(f"{path}: {name}", part, data)
        same_shape = part.x.shape[1:] == data.train.x.shape[1:]
        if not same_shape or (part.begin is None) != (data.train.begin is None):
            raise InputError(
                f"{path}: {name} samples {part.x.shape[1:]} differ from train's"
                f" {data.train.x.shape[1:]}"
            )


def _check_attributes(path: Path, data: Dataset) -> None:
    if data.task not in TASKS:
        raise InputError(f"{path}: task {data.task!r}; allowed: {', '.join(TASKS)}")

    least = {"regression": 1, "none": 0}.get(data.task, 2)
    if data.outputs < least:
        raise InputError(f"{path}: outputs {data.outputs}; a {data.task} needs {least} or more")
    if data.vocabulary < 0 or (data.task == "language" and data.vocabulary != data.outputs):
        raise InputError(
            f"{path}: vocabulary {data.vocabulary} does not go with task {data.task} and"
            f" outputs {data.outputs}"
        )

    if not (np.isfinite(data.feature_scale).all() and np.isfinite(data.feature_shift).all()):
        raise InputError(
            f"{path}: feature_scale {data.feature_scale}, feature_shift {data.feature_shift}:"
            " not finite"
        )


def _check_clients(label: str, part: Part) -> None:
    """Check offsets and client names. ``label`` is "FILE: PART", as errors begin."""
    sizes = np.diff(part.offsets)
    samples = part.x.shape[0] if part.begin is None else len(part.begin) - 1

    if part.offsets[0] != 0 or part.offsets[-1] != samples:
        raise InputError(f"{label}/offsets do not span its {samples} samples")
    if len(part.client) != part.clients:
        raise InputError(
            f"{label} names {len(part.client)} clients, its offsets have {part.clients}"
        )
    if part.samples == 0:
        raise InputError(f"{label} has no samples")
    if (sizes < 1).any():
        client = int(np.argmax(sizes < 1))
        raise InputError(f"{label} client {client}: {sizes[client]} samples; each needs 1 or more")
    for name, column in (("y", part.y), ("coarse", part.coarse)):
        if column is not None and len(column) != samples:
            raise InputError(f"{label}/{name} has {len(column)} rows for {samples} samples")
    if part.coarse is not None and (part.coarse.dtype != np.int64 or part.coarse.ndim != 1):
        raise InputError(
            f"{label}/coarse is {part.coarse.dtype} {part.coarse.shape}; needed: int64 (samples,)"
        )


def _check_samples(label: str, part: Part) -> None:
    """Check where sequences begin; samples that are rows of x need no check."""
    if part.begin is None:
        return

    if part.begin[0] != 0 or part.begin[-1] != part.x.shape[0]:
        raise InputError(f"{label}/begin does not span the {part.x.shape[0]} rows of x")
    if (np.diff(part.begin) < 1).any():
        sample = int(np.argmax(np.diff(part.begin) < 1))
        raise InputError(f"{label} sample {sample}: empty; each needs a length of 1 or more")


def _check_labels(label: str, part: Part, data: Dataset) -> None:
    y = part.y
    if data.task not in Y_TYPES:
        if y is not None:
            raise InputError(f"{label}/y: task {data.task} has no y")
        return

    dtype, axes, needed = Y_TYPES[data.task]
    if y is None:
        raise InputError(f"{label} has no y; a {data.task} needs {needed}")
    if y.dtype != dtype or y.ndim != axes:
        raise InputError(f"{label}/y is {y.dtype} {y.shape}; a {data.task} needs {needed}")

    if data.task == "classification":
        if y.min() < 0 or y.max() >= data.outputs:
            row = int(np.argmax((y < 0) | (y >= data.outputs)))
            raise InputError(
                f"{label}/y row {row}: class {y[row]}; allowed: 0 to {data.outputs - 1}"
            )
        return

    if y.shape[1] != data.outputs:
        raise InputError(f"{label}/y has {y.shape[1]} columns; outputs says {data.outputs}")
    if not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y).all(axis=1)))
        raise InputError(f"{label}/y row {row}: {y[row].tolist()}; must be finite")
