"""Federated data sets in HDF5: the samples of a client lie side by side.

Layout, schema version 2 (``docs/formats.md`` says it for users)::

    attributes   format="mpifl-dataset" schema_version name task outputs vocabulary source licence feature_scale feature_shift
                 content_sha256
    train/x      (samples, ...)  uint8, int32 or float32, may be compressed; a feature is x * feature_scale + feature_shift
    train/begin  (samples + 1,)  int64, only where samples have lengths of their own: sample k is x[begin[k]:begin[k + 1]]
    train/y      (samples,)      int64 class, or (samples, outputs) float32; missing where the next token is to be predicted
    train/coarse (samples,)      int64 class of a coarser kind; may be missing
    train/offsets (clients + 1,) int64; client k holds samples offsets[k] to offsets[k + 1]
    train/client (clients,)      the client's own name in the source
    validation/..., test/...     the same; their clients need not be those of train; may be missing
    labels, tokens               names of classes and of token ids; may be missing
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from mpifl.io.files import whole_file
from mpifl.io.hdf5 import content_sha256, hdf5_errors, mapped, open_hdf5, writing_hdf5

FORMAT = "mpifl-dataset"
SCHEMA_VERSION = 2
PARTS = ("train", "validation", "test")
TASKS = ("classification", "regression", "language", "none")
X_TYPES = (np.uint8, np.int32, np.float32)
BLOCK_BYTES = 1 << 24


class Values(Protocol):
    """What a part's x may be when it is written: an array, or something that is read from elsewhere block by block."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""

    @property
    def dtype(self) -> np.dtype:
        """As an array's."""

    def blocks(self) -> Iterator[np.ndarray]:
        """Its rows, in blocks of about BLOCK_BYTES."""


@dataclass(frozen=True)
class Part:
    """Samples of ``clients`` clients; see the module's layout. ``y`` is None where there are no labels.

    ``begin`` is None where every sample is one row of ``x``. In a part that is only there to be written ``x`` may be Values.
    """

    x: Any
    y: np.ndarray | None
    offsets: np.ndarray
    client: np.ndarray
    begin: np.ndarray | None = None
    coarse: np.ndarray | None = None

    @property
    def clients(self) -> int:
        """How many clients hold samples of this part."""
        return len(self.offsets) - 1

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return int(self.offsets[-1])

    def rows(self, client: int) -> slice:
        """The samples of one client."""
        return slice(int(self.offsets[client]), int(self.offsets[client + 1]))

    @property
    def longest(self) -> int:
        """The length of the longest sample, of samples that have lengths of their own."""
        assert self.begin is not None
        return int(np.diff(self.begin).max(initial=0))


def nothing() -> Part:
    """A part without clients."""
    return Part(np.empty((0, 0), np.uint8), np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, "S1"))


@dataclass(frozen=True)
class DataShape:
    """What a model has to know: ``task``, the shape of one ``sample``, its ``outputs``, and how many token ids there are.

    ``outputs`` are classes, or the numbers of a regression. ``vocabulary`` is 0 where samples are features and not tokens. A
    batch of sequences is as long as its longest; what is not there has the token id ``vocabulary``.
    """

    task: str
    sample: tuple[int, ...]
    outputs: int
    vocabulary: int = 0


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is said of a data set. ``task`` is one of TASKS; ``labels`` and ``tokens`` (bytes) name classes and token ids."""

    name: str
    outputs: int
    source: str
    licence: str
    task: str = "classification"
    vocabulary: int = 0
    feature_scale: float | np.ndarray = 1.0
    feature_shift: float | np.ndarray = 0.0
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, "S1"))
    tokens: np.ndarray = field(default_factory=lambda: np.empty(0, "S1"))


@dataclass(frozen=True, kw_only=True)
class Dataset(Description):
    """A data set; the arrays of an opened one are memory maps."""

    train: Part
    test: Part = field(default_factory=nothing)
    validation: Part = field(default_factory=nothing)
    content_sha256: str = ""

    @property
    def parts(self) -> dict[str, Part]:
        """The parts that have clients, by name."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name).clients}

    @property
    def shape(self) -> DataShape:
        """What a model has to know."""
        sample: tuple[int, ...] = self.train.x.shape[1:]
        if self.train.begin is not None:
            sample = (max(part.longest for part in self.parts.values()), *sample)
        return DataShape(self.task, sample, self.outputs, self.vocabulary)


ATTRIBUTES = tuple(found.name for found in fields(Description) if found.name not in ("labels", "tokens"))


def grouped(x: np.ndarray, y: np.ndarray, client: np.ndarray) -> Part:
    """A part with the samples of each client side by side, clients in sorted order, samples in their old order."""
    names, index = np.unique(client, return_inverse=True)
    order = np.argsort(index, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=len(names)))]).astype(np.int64)
    return Part(x[order], y[order].astype(np.int64), offsets, names)


def write_dataset(path: Path, data: Dataset, compression: str | None = None) -> None:
    """Write a data set, x compressed with a filter of HDF5's own ("gzip", "lzf") or not; it appears only when complete.

    Raises DiskFull.
    """
    with whole_file(path) as partial:
        with writing_hdf5(partial) as file:
            file.attrs["format"] = FORMAT
            file.attrs["schema_version"] = SCHEMA_VERSION
            for key in ATTRIBUTES:
                file.attrs[key] = getattr(data, key)
            for key in ("labels", "tokens"):
                if len(getattr(data, key)):
                    file[key] = _names(getattr(data, key))
            for name, part in data.parts.items():
                _write_part(file.create_group(name), part, compression)
        with writing_hdf5(partial, "r+") as file:
            file.attrs["content_sha256"] = content_sha256(file)


def _write_part(group: h5py.Group, part: Part, compression: str | None) -> None:
    packed: dict[str, Any] = {}
    if compression and np.prod(part.x.shape):
        row_bytes = max(1, part.x.dtype.itemsize * int(np.prod(part.x.shape[1:])))
        rows = int(np.clip((1 << 20) // row_bytes, 1, part.x.shape[0]))
        packed = {"chunks": (rows, *part.x.shape[1:]), "compression": compression, "shuffle": True}
    x = group.create_dataset("x", part.x.shape, part.x.dtype, **packed)
    start = 0
    for block in blocks(part.x):
        x[start : start + len(block)] = block
        start += len(block)
    for key in ("y", "begin", "coarse", "offsets"):
        if getattr(part, key) is not None:
            group[key] = getattr(part, key)
    group["client"] = _names(part.client)


def blocks(x: Any) -> Iterator[np.ndarray]:
    """The rows of an array, or of Values, in blocks of about BLOCK_BYTES."""
    if hasattr(x, "blocks"):
        yield from x.blocks()
        return
    rows = max(1, BLOCK_BYTES // max(1, x.dtype.itemsize * int(np.prod(x.shape[1:]))))
    for start in range(0, x.shape[0], rows):
        yield x[start : start + rows]


def _names(names: np.ndarray) -> np.ndarray:
    if names.dtype.kind == "S":
        return names
    return np.array([name if isinstance(name, bytes) else str(name).encode() for name in names.tolist()], "S")


def open_dataset(path: Path) -> Dataset:
    """Map a data set of ``write_dataset``. Raises InputError naming the file and what is wrong in it, also when compressed."""
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file:
        return _dataset(file, path, mapped)


def _dataset(file: h5py.File, path: Path, reader: Any) -> Dataset:
    with hdf5_errors(path):
        attributes: dict[str, Any] = {key: file.attrs[key] for key in (*ATTRIBUTES, "content_sha256")}
        for key in ("outputs", "vocabulary"):
            attributes[key] = operator.index(attributes[key])
        for key in ("feature_scale", "feature_shift"):
            attributes[key] = (
                float(attributes[key]) if np.ndim(attributes[key]) == 0 else np.asarray(attributes[key], np.float32)
            )
        attributes |= {key: file[key][:] for key in ("labels", "tokens") if key in file}
        parts = {name: _open_part(file[name], reader) for name in PARTS if name in file}
        if "train" not in parts:
            raise ValueError("it has no train part")
        return Dataset(**(attributes | parts))


def repack(source: Path, path: Path, compression: str | None = None) -> None:
    """Write the data set of a file anew, compressed or (None) so that it can be mapped, block by block."""
    with open_hdf5(source, FORMAT, SCHEMA_VERSION) as file:
        write_dataset(
            path, _dataset(file, source, lambda column, what: column if column.chunks else mapped(column, what)), compression
        )


def is_compressed(path: Path) -> bool:
    """Whether a data set has to be repacked before it can be mapped."""
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file, hdf5_errors(path):
        return any(file[name]["x"].chunks is not None for name in PARTS if name in file)


def _open_part(group: h5py.Group, reader: Any) -> Part:
    columns = {key: reader(group[key], f"{group.name}/{key}") for key in ("x", "offsets", "client")}
    columns |= {key: reader(group[key], f"{group.name}/{key}") if key in group else None for key in ("y", "begin", "coarse")}
    x, y = columns["x"], columns["y"]
    wrong = {key: c.dtype for key in ("offsets", "begin", "coarse") if (c := columns[key]) is not None and c.dtype != np.int64}
    if x.dtype not in X_TYPES or wrong or not (y is None or y.dtype in (np.int64, np.float32)):
        kinds = ", ".join(f"{key} {column.dtype}" for key, column in columns.items() if column is not None)
        raise ValueError(f"{group.name}: {kinds}; expected x uint8, int32 or float32, y int64 or float32, the others int64")
    flat = all(columns[key] is None or columns[key].ndim == 1 for key in ("offsets", "begin", "coarse", "client"))
    if x.ndim == 0 or not flat or not (y is None or y.ndim == (1 if y.dtype == np.int64 else 2)):
        shapes = ", ".join(f"{key} {column.shape}" for key, column in columns.items() if column is not None)
        raise ValueError(f"{group.name}: {shapes}; y and offsets are columns")
    if len(columns["offsets"]) < 2:
        raise ValueError(f"{group.name}/offsets has {len(columns['offsets'])} entries; expected clients + 1")
    return Part(**columns)
