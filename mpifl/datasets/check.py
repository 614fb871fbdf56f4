"""What every rank relies on in a data set, checked once, on rank 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpifl.datasets.dataset import TASKS, Dataset, Part
from mpifl.errors import InputError


def check_dataset(path: Path, data: Dataset) -> None:
    """Raise InputError naming file, part and client or row for anything that training cannot rely on."""
    if data.task not in TASKS:
        raise InputError(f"{path}: task {data.task!r}; allowed: {', '.join(TASKS)}")
    least = {"regression": 1, "none": 0}.get(data.task, 2)
    if data.outputs < least:
        raise InputError(f"{path}: outputs {data.outputs}; a {data.task} needs {least} or more")
    if data.vocabulary < 0 or (data.task == "language" and data.vocabulary != data.outputs):
        raise InputError(f"{path}: vocabulary {data.vocabulary} does not go with task {data.task} and outputs {data.outputs}")
    if not (np.isfinite(data.feature_scale).all() and np.isfinite(data.feature_shift).all()):
        raise InputError(f"{path}: feature_scale {data.feature_scale}, feature_shift {data.feature_shift}: not finite")
    for name, part in data.parts.items():
        _check_clients(f"{path}: {name}", part)
        _check_samples(f"{path}: {name}", part)
        _check_labels(f"{path}: {name}", part, data)
        if part.x.shape[1:] != data.train.x.shape[1:] or (part.begin is None) != (data.train.begin is None):
            raise InputError(f"{path}: {name} samples {part.x.shape[1:]} differ from train's {data.train.x.shape[1:]}")


def _check_clients(where: str, part: Part) -> None:
    sizes = np.diff(part.offsets)
    labels = "" if part.y is None else f"{len(part.y)} labels and "
    held = part.x.shape[0] if part.begin is None else len(part.begin) - 1
    if part.offsets[0] != 0 or part.offsets[-1] != held or not (part.y is None or len(part.y) == held):
        raise InputError(f"{where}/offsets do not span its {labels}{held} samples")
    if len(part.client) != part.clients:
        raise InputError(f"{where} names {len(part.client)} clients, its offsets have {part.clients}")
    if part.samples == 0:
        raise InputError(f"{where} has no samples")
    if (sizes < 1).any():
        client = int(np.argmax(sizes < 1))
        raise InputError(f"{where} client {client}: {sizes[client]} samples; each needs 1 or more")
    if part.coarse is not None and len(part.coarse) != held:
        raise InputError(f"{where}/coarse has {len(part.coarse)} rows for {held} samples")


def _check_samples(where: str, part: Part) -> None:
    if part.begin is None:
        return
    if part.begin[0] != 0 or part.begin[-1] != part.x.shape[0]:
        raise InputError(f"{where}/begin does not span the {part.x.shape[0]} rows of x")
    if (np.diff(part.begin) < 1).any():
        sample = int(np.argmax(np.diff(part.begin) < 1))
        raise InputError(f"{where} sample {sample}: empty; each needs a length of 1 or more")


def _check_labels(where: str, part: Part, data: Dataset) -> None:
    y, kind = part.y, {"classification": np.int64, "regression": np.float32}.get(data.task)
    if (None if y is None else y.dtype.type) is not kind:
        raise InputError(f"{where}/y is {None if y is None else y.dtype}; a {data.task} needs {kind and np.dtype(kind)}")
    if y is None:
        return
    if data.task == "classification":
        if y.min() < 0 or y.max() >= data.outputs:
            row = int(np.argmax((y < 0) | (y >= data.outputs)))
            raise InputError(f"{where}/y row {row}: class {y[row]}; allowed: 0 to {data.outputs - 1}")
        return
    if y.shape[1] != data.outputs:
        raise InputError(f"{where}/y has {y.shape[1]} columns; outputs says {data.outputs}")
    if not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y).all(axis=1)))
        raise InputError(f"{where}/y row {row}: {y[row].tolist()}; must be finite")
