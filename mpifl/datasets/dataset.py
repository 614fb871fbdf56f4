"""Federated data sets in HDF5, in which the samples of a client are contiguous.

Layout, schema version 2 (``docs/formats.md`` describes it for users)::

    attributes   format="mpifl-dataset" schema_version name task outputs vocabulary source licence
                 feature_scale feature_shift content_sha256
    train/x      (samples, ...)  uint8, int32 or float32, may be compressed;
                 a feature is x * feature_scale + feature_shift
    train/begin  (samples + 1,)  int64, only where samples have lengths of their own:
                 sample k is x[begin[k]:begin[k + 1]]
    train/y      (samples,)      int64 class, or (samples, outputs) float32;
                 missing where the next token is to be predicted
    train/coarse (samples,)      int64 coarse class (superclass); may be missing
    train/offsets (clients + 1,) int64; client k holds samples offsets[k] to offsets[k + 1]
    train/client (clients,)      the client's own name in the source
    validation/..., test/...     the same; their clients need not be those of train; may be missing
    labels, tokens               names of classes and of token ids; may be missing
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from mpifl.io.files import read_errors, whole_file
from mpifl.io.hdf5 import content_sha256, mapped, open_hdf5, writing_hdf5

FORMAT = "mpifl-dataset"
SCHEMA_VERSION = 2
PARTS = ("train", "validation", "test")
TASKS = ("classification", "regression", "language", "none")
X_TYPES = (np.uint8, np.int32, np.float32)
NAME_TABLES = ("labels", "tokens")
BLOCK_BYTES = 1 << 24
Reader = Callable[[h5py.Dataset, str], Any]
"""Returns what stands for a column of a file; the text is the column's name in errors."""


class Values(Protocol):
    """A large array to be written, read block by block from elsewhere."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, as an array's."""

    @property
    def dtype(self) -> np.dtype:
        """The type of the values, as an array's."""

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the rows in order, in blocks of about BLOCK_BYTES."""


@dataclass(frozen=True)
class Part:
    """The train, validation or test samples of ``clients`` clients; see the module's layout.

    ``y`` is None where there are no labels. ``begin`` is None where every sample is one row of
    ``x``. ``x`` may be Values in a part that is only to be written.
    """

    x: Any
    y: np.ndarray | None
    offsets: np.ndarray
    client: np.ndarray
    begin: np.ndarray | None = None
    coarse: np.ndarray | None = None

    @property
    def clients(self) -> int:
        """Number of clients that hold samples of this part."""
        return len(self.offsets) - 1

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.offsets[-1])

    def rows(self, client: int) -> slice:
        """Return the samples of one client, as a slice of the part's samples."""
        return slice(int(self.offsets[client]), int(self.offsets[client + 1]))

    @property
    def longest(self) -> int:
        """Length of the longest sample; only for samples that have lengths of their own."""
        assert self.begin is not None
        return int(np.diff(self.begin).max(initial=0))


def nothing() -> Part:
    """Return a part without clients."""
    x = np.empty((0, 0), np.uint8)
    return Part(x, np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, "S1"))


@dataclass(frozen=True)
class DataShape:
    """What a model is built from: ``task``, shape of one ``sample``, ``outputs``, ``vocabulary``.

    ``outputs`` is the number of classes, or of the values of a regression. ``vocabulary`` is the
    number of token ids, 0 where samples are features and not tokens. A batch of sequences is as
    long as its longest; padding has the token id ``vocabulary``.
    """

    task: str
    sample: tuple[int, ...]
    outputs: int
    vocabulary: int = 0


@dataclass(frozen=True, kw_only=True)
class Description:
    """The attributes of a data set.

    ``task`` is one of TASKS. ``labels`` and ``tokens`` (bytes) name classes and token ids.
    """

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
        """What a model is built from; a sequence is as long as the longest of any part."""
        sample: tuple[int, ...] = self.train.x.shape[1:]
        if self.train.begin is not None:
            sample = (max(part.longest for part in self.parts.values()), *sample)
        return DataShape(self.task, sample, self.outputs, self.vocabulary)


ATTRIBUTES = tuple(item.name for item in fields(Description) if item.name not in NAME_TABLES)


def grouped(x: np.ndarray, y: np.ndarray, client: np.ndarray) -> Part:
    """Return a part with clients in sorted order and their samples side by side, in their order."""
    names, index = np.unique(client, return_inverse=True)
    order = np.argsort(index, kind="stable")
    sizes = np.bincount(index, minlength=len(names))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Part(x[order], y[order].astype(np.int64), offsets, names)


def write_dataset(path: Path, data: Dataset, compression: str | None = None) -> None:
    """Write a data set; the file appears only when it is complete. Raises DiskFull.

    ``compression`` is a filter of HDF5's own for x ("gzip", "lzf"), or None.
    """
    with whole_file(path) as partial:
        with writing_hdf5(partial) as file:
            file.attrs["format"] = FORMAT
            file.attrs["schema_version"] = SCHEMA_VERSION
            for key in ATTRIBUTES:
                file.attrs[key] = getattr(data, key)
            for key in NAME_TABLES:
                if len(getattr(data, key)):
                    file[key] = _as_bytes(getattr(data, key))
            for name, part in data.parts.items():
                _write_part(file.create_group(name), part, compression)

        with writing_hdf5(partial, "r+") as file:
            file.attrs["content_sha256"] = content_sha256(file)


def _write_part(group: h5py.Group, part: Part, compression: str | None) -> None:
    options: dict[str, Any] = {}
    if compression and np.prod(part.x.shape):
        row_bytes = max(1, part.x.dtype.itemsize * int(np.prod(part.x.shape[1:])))
        rows = int(np.clip((1 << 20) // row_bytes, 1, part.x.shape[0]))
        options = {"chunks": (rows, *part.x.shape[1:]), "compression": compression, "shuffle": True}

    x = group.create_dataset("x", part.x.shape, part.x.dtype, **options)
    start = 0
    for block in blocks(part.x):
        x[start : start + len(block)] = block
        start += len(block)

    for key in ("y", "begin", "coarse", "offsets"):
        if getattr(part, key) is not None:
            group[key] = getattr(part, key)
    group["client"] = _as_bytes(part.client)


def blocks(x: Any) -> Iterator[np.ndarray]:
    """Yield the rows of an array, or of Values, in blocks of about BLOCK_BYTES."""
    if hasattr(x, "blocks"):
        yield from x.blocks()
        return

    rows = max(1, BLOCK_BYTES // max(1, x.dtype.itemsize * int(np.prod(x.shape[1:]))))
    for start in range(0, x.shape[0], rows):
        yield x[start : start + rows]


def _as_bytes(names: np.ndarray) -> np.ndarray:
    """Return names, which may be text or numbers, as an array of bytes."""
    if names.dtype.kind == "S":
        return names
    return np.array([n if isinstance(n, bytes) else str(n).encode() for n in names.tolist()], "S")


def open_dataset(path: Path) -> Dataset:
    """Map a data set of ``write_dataset``.

    Raises InputError naming the file and what is wrong in it; a compressed one cannot be mapped.
    """
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file:
        return _read(file, path, mapped)


def _read(file: h5py.File, path: Path, reader: Reader) -> Dataset:
    """Return the data set of an open file; each column is what ``reader`` makes of it."""
    with read_errors(path):
        keys = (*ATTRIBUTES, "content_sha256")
        attributes: dict[str, Any] = {key: file.attrs[key] for key in keys}
        for key in ("outputs", "vocabulary"):
            attributes[key] = operator.index(attributes[key])
        for key in ("feature_scale", "feature_shift"):
            value = attributes[key]
            attributes[key] = float(value) if np.ndim(value) == 0 else np.asarray(value, np.float32)
        attributes |= {key: file[key][:] for key in NAME_TABLES if key in file}

        parts = {name: _read_part(file[name], reader) for name in PARTS if name in file}
        if "train" not in parts:
            raise ValueError("it has no train part")
        return Dataset(**(attributes | parts))


def repack(source: Path, path: Path, compression: str | None = None) -> None:
    """Rewrite a data set block by block, compressed or (None) so that it can be mapped."""

    def reader(column: h5py.Dataset, name: str) -> Any:
        return column if column.chunks else mapped(column, name)

    with open_hdf5(source, FORMAT, SCHEMA_VERSION) as file:
        write_dataset(path, _read(file, source, reader), compression)


def is_compressed(path: Path) -> bool:
    """Return whether a data set has to be repacked before it can be mapped."""
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file, read_errors(path):
        return any(file[name]["x"].chunks is not None for name in PARTS if name in file)


def _read_part(group: h5py.Group, reader: Reader) -> Part:
    """Return a part; raise ValueError for columns of another type or shape than the layout's."""
    columns = {key: reader(group[key], f"{group.name}/{key}") for key in ("x", "offsets", "client")}
    for key in ("y", "begin", "coarse"):
        columns[key] = reader(group[key], f"{group.name}/{key}") if key in group else None
    x = columns["x"]
    y = columns["y"]
    present = {key: column for key, column in columns.items() if column is not None}

    indices = [present[key] for key in ("offsets", "begin", "coarse") if key in present]
    int64 = all(column.dtype == np.int64 for column in indices)
    if x.dtype not in X_TYPES or not int64 or not (y is None or y.dtype in (np.int64, np.float32)):
        types = ", ".join(f"{key} {column.dtype}" for key, column in present.items())
        raise ValueError(
            f"{group.name}: {types}; expected x uint8, int32 or float32, y int64 or float32,"
            " the others int64"
        )

    flat = all(column.ndim == 1 for column in [*indices, columns["client"]])
    if x.ndim == 0 or not flat or not (y is None or y.ndim == (1 if y.dtype == np.int64 else 2)):
        shapes = ", ".join(f"{key} {column.shape}" for key, column in present.items())
        needed = "y int64 (samples,) or float32 (samples, outputs), all but x columns"
        raise ValueError(f"{group.name}: {shapes}; expected {needed}")

    entries = len(columns["offsets"])
    if entries < 2:
        raise ValueError(f"{group.name}/offsets has {entries} entries; expected clients + 1")
    return Part(**columns)
