"""Federated data sets in HDF5: the samples of a client lie side by side.

Layout, schema version 1 (``docs/formats.md`` says it for users)::

    attributes   format="mpifl-dataset" schema_version name task classes source licence feature_scale feature_shift
                 content_sha256
    train/x      (samples, ...)  uint8 or float32, contiguous; a feature is x * feature_scale + feature_shift
    train/y      (samples,)      int64 class
    train/offsets (clients + 1,) int64; client k holds rows offsets[k] to offsets[k + 1]
    train/client (clients,)      the client's own name in the source
    test/...     the same; its clients need not be those of train
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mpifl.errors import InputError
from mpifl.files import content_sha256, damage, mapped, open_hdf5, whole_file

FORMAT = "mpifl-dataset"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Part:
    """The train or the test part. x (samples, ...), y (samples,) int64, offsets (clients + 1,) int64, client names."""

    x: np.ndarray
    y: np.ndarray
    offsets: np.ndarray
    client: np.ndarray

    @property
    def clients(self) -> int:
        """How many clients hold samples of this part."""
        return len(self.offsets) - 1

    def rows(self, client: int) -> slice:
        """The rows of one client."""
        return slice(int(self.offsets[client]), int(self.offsets[client + 1]))


@dataclass(frozen=True)
class Dataset:
    """A data set; the arrays of an opened one are memory maps."""

    name: str
    classes: int
    source: str
    licence: str
    train: Part
    test: Part
    task: str = "classification"
    feature_scale: float = 1.0
    feature_shift: float = 0.0
    content_sha256: str = ""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.train.x.shape[1:]


def grouped(x: np.ndarray, y: np.ndarray, client: np.ndarray) -> Part:
    """A part with the samples of each client side by side, clients in sorted order, samples in their old order."""
    names, index = np.unique(client, return_inverse=True)
    order = np.argsort(index, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=len(names)))]).astype(np.int64)
    return Part(x[order], y[order].astype(np.int64), offsets, names)


def write_dataset(path: Path, data: Dataset) -> None:
    """Write a data set; the file appears only when it is complete."""
    with whole_file(path) as partial:
        with h5py.File(partial, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["schema_version"] = SCHEMA_VERSION
            for key in ("name", "task", "classes", "source", "licence", "feature_scale", "feature_shift"):
                file.attrs[key] = getattr(data, key)
            for name, part in (("train", data.train), ("test", data.test)):
                group = file.create_group(name)
                group["x"], group["y"], group["offsets"] = part.x, part.y, part.offsets
                group["client"] = np.array([_name(c) for c in part.client], dtype="S")
        with h5py.File(partial, "r+") as file:
            file.attrs["content_sha256"] = content_sha256(file)


def _name(client: Any) -> bytes:
    return client if isinstance(client, bytes) else str(client).encode()


def open_dataset(path: Path) -> Dataset:
    """Map a data set of ``write_dataset``. Raises InputError naming the file and what is wrong in it."""
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file, damage(path):
        attributes = {key: file.attrs[key] for key in ("name", "task", "source", "licence", "content_sha256")}
        return Dataset(
            train=_open_part(file["train"]),
            test=_open_part(file["test"]),
            classes=operator.index(file.attrs["classes"]),
            feature_scale=float(file.attrs["feature_scale"]),
            feature_shift=float(file.attrs["feature_shift"]),
            **attributes,
        )


def check_dataset(path: Path, data: Dataset) -> None:
    """Check what every rank relies on, once, on rank 0. Raises InputError naming file, part and client."""
    if data.task != "classification":
        raise InputError(f"{path}: task {data.task!r}; allowed: classification")
    if data.classes < 2:
        raise InputError(f"{path}: classes {data.classes}; a classification needs 2 or more")
    if not (np.isfinite(data.feature_scale) and np.isfinite(data.feature_shift)):
        raise InputError(f"{path}: feature_scale {data.feature_scale}, feature_shift {data.feature_shift}: not finite")
    for name, part in (("train", data.train), ("test", data.test)):
        sizes = np.diff(part.offsets)
        if part.offsets[0] != 0 or part.offsets[-1] != len(part.y) or len(part.x) != len(part.y):
            raise InputError(f"{path}: {name}/offsets do not span its {len(part.y)} labels and {len(part.x)} samples")
        if len(part.client) != part.clients:
            raise InputError(f"{path}: {name} names {len(part.client)} clients, its offsets have {part.clients}")
        if len(part.y) == 0:
            raise InputError(f"{path}: {name} has no samples")
        if (sizes < 1).any():
            client = int(np.argmax(sizes < 1))
            raise InputError(f"{path}: {name} client {client}: {sizes[client]} samples; each needs 1 or more")
        if part.y.min() < 0 or part.y.max() >= data.classes:
            row = int(np.argmax((part.y < 0) | (part.y >= data.classes)))
            raise InputError(f"{path}: {name}/y row {row}: class {part.y[row]}; allowed: 0 to {data.classes - 1}")
    if data.test.x.shape[1:] != data.sample_shape:
        raise InputError(f"{path}: test samples {data.test.x.shape[1:]} differ from train's {data.sample_shape}")


def _open_part(group: h5py.Group) -> Part:
    x, y, offsets = group["x"], group["y"], group["offsets"]
    if x.dtype not in (np.uint8, np.float32) or y.dtype != np.int64 or offsets.dtype != np.int64:
        kinds = f"x {x.dtype}, y {y.dtype}, offsets {offsets.dtype}"
        raise ValueError(f"{group.name}: {kinds}; expected uint8 or float32, int64, int64")
    if x.ndim == 0 or y.ndim != 1 or offsets.ndim != 1:
        raise ValueError(f"{group.name}: x {x.shape}, y {y.shape}, offsets {offsets.shape}; y and offsets are columns")
    offsets = offsets[:]
    if len(offsets) < 2:
        raise ValueError(f"{group.name}/offsets has {len(offsets)} entries; expected clients + 1")
    return Part(mapped(x, f"{group.name}/x"), mapped(y, f"{group.name}/y"), offsets, group["client"][:])
