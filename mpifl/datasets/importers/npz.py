"""Arrays that numpy wrote: ``.npy`` files and ``.npz`` archives, which may be packed with xz."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.arrays import StoredArray, find_arrays, open_array
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.labels import Classes, classes_of
from mpifl.datasets.importers.moments import Moments, Normalise
from mpifl.datasets.importers.streams import CHUNK_BYTES
from mpifl.datasets.store import Store
from mpifl.errors import InputError

Task = Literal["classification", "regression", "language"]
INT32 = np.iinfo(np.int32)
LABELS = {"classification": ("biuSU", 1), "regression": ("biuf", 2)}
"""By task the kinds of numpy types that y may have, and its axes at most."""


@dataclass(frozen=True)
class Columns:
    """The arrays of one source, all with as many rows; ``test`` is true for the rows of the test part."""

    x: StoredArray
    y: StoredArray | None
    client: StoredArray | None
    test: StoredArray | None


class Npz(Importer):
    """Arrays in .npz and .npy files (also with .xz): x, y and client side by side, the first axis the samples.

    An array is named by its key in an .npz, or by the name of its .npy file without the ending. Floats are kept as float32,
    integers as uint8 or int32. Without --client all samples belong to one client "all", and a partitioner deals them out.
    """

    x: str = Field(description="name of the samples' array (samples, ...)")
    y: str | None = Field(None, description="name of the labels' array: integers or text (samples,); regression: numbers")
    client: str | None = Field(None, description="name of the clients' array (samples,), integers or text")
    test_rows: str | None = Field(None, description="name of a boolean array (samples,), true for samples of the test part")
    task: Task = Field("classification", description="what is learned")
    vocabulary: int = Field(0, ge=0, description="number of token ids, where x holds those; a language needs it")
    normalise: Normalise = Field("none", description="mean 0 and deviation 1 over train; bytes from 0 to 1; or as they are")
    channel_axis: int | None = Field(
        None, ge=1, description="axis of x whose indices --normalise takes one by one; samples are 0"
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.task == "language") != (self.y is None):
            raise ValueError("classification and regression need --y, a language has none")
        if self.task == "language" and not self.vocabulary:
            raise ValueError("--task language needs --vocabulary")
        if self.vocabulary and self.normalise != "none":
            raise ValueError("--normalise is for features, and --vocabulary says that x holds tokens")
        return self

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer. Files are read from front to back; labels that are to be numbered, twice."""
        if self.test_rows and "test" in sources:
            raise InputError(f"--test-rows: {self.test_rows!r}: not together with --test")
        parts = {part: self._columns(paths) for part, paths in sources.items()}
        train = parts["train"]
        if self.channel_axis is not None and self.channel_axis >= len(train.x.shape):
            raise InputError(f"--channel-axis: {self.channel_axis}: {train.x.where} has the shape {train.x.shape}")
        classes = _classes(train) if self.task == "classification" else None
        for columns in parts.values():
            if columns.x.shape[1:] != train.x.shape[1:] or _kept(columns.x.dtype) != _kept(train.x.dtype):
                raise InputError(
                    f"{columns.x.where}: samples of {columns.x.dtype} {columns.x.shape[1:]};"
                    f" train's are {train.x.dtype} {train.x.shape[1:]}"
                )
        moments = Moments(self.channel_axis)
        for part, columns in parts.items():
            for block in _blocks(columns, self.vocabulary, classes):
                block.add(store, part, columns.x.where)
                if part == "train":
                    moments.add(block.x[~block.test])
        if self.test_rows and not store.samples("test"):
            raise InputError(f"--test-rows: {self.test_rows!r} is true for no row")
        kept = _kept(train.x.dtype)
        scale, shift = moments.scaling(self.normalise, np.dtype(kept))
        return Description(
            name=train.x.place[0].resolve().parent.name,
            outputs=self.vocabulary if train.y is None else len(classes.values) if classes else int(np.prod(train.y.shape[1:])),
            source=f"{train.x.place[0].name}: {self.x} of {train.x.dtype}, kept as {np.dtype(kept)}; y {self.y},"
            f" client {self.client}, test {self.test_rows}, features: {self.normalise}",
            licence="as its source says",
            task=self.task,
            vocabulary=self.vocabulary,
            feature_scale=scale,
            feature_shift=shift,
            labels=classes.names if classes else np.empty(0, "S1"),
        )

    def _columns(self, paths: list[Path]) -> Columns:
        """The arrays that the options name. Raises InputError when one is not there, or is not what its option is for."""
        places = find_arrays(paths)
        x = open_array(places, self.x, "--x")
        if x.dtype.kind not in "biuf" or (self.vocabulary and (x.dtype.kind not in "iu" or len(x.shape) != 2)):
            wanted = "tokens are integers (samples, length)" if self.vocabulary else "samples are numbers"
            raise InputError(f"{x.where}: {x.dtype} {x.shape}; {wanted}")

        def column(option: str, name: str | None, kinds: str, axes: int = 1) -> StoredArray | None:
            if name is None:
                return None
            found = open_array(places, name, option)
            if found.shape[0] != x.shape[0]:
                raise InputError(f"{found.where}: {found.shape[0]} rows; {x.where} has {x.shape[0]}")
            if found.dtype.kind not in kinds or len(found.shape) > axes:
                raise InputError(f"{found.where}: {found.dtype} {found.shape} cannot be {option} of a {self.task}")
            return found

        return Columns(
            x,
            column("--y", self.y, *LABELS.get(self.task, ("", 0))),
            column("--client", self.client, "iuSU"),
            column("--test-rows", self.test_rows, "b"),
        )


@dataclass(frozen=True)
class Block:
    """Some samples as they are kept; ``test`` (samples,) bool."""

    x: np.ndarray
    y: np.ndarray | None
    client: np.ndarray
    test: np.ndarray

    def add(self, store: Store, part: str, where: str) -> None:
        """Hand them over: those of ``test`` to the test part, the others to ``part``."""
        for name, rows in ((part, ~self.test), ("test", self.test)):
            if rows.any():
                store.add(name, self.client[rows], self.x[rows], None if self.y is None else self.y[rows], where=where)


def _side_by_side(arrays: tuple[StoredArray | None, ...], rows: int, samples: int) -> Iterator[tuple[Any, ...]]:
    """Blocks of ``rows`` rows of all arrays; None for what is no array."""
    count = -(-samples // rows)
    yield from zip(*(array.blocks(rows) if array else itertools.repeat(None, count) for array in arrays), strict=True)


def _classes(columns: Columns) -> Classes:
    """The classes of the train rows."""
    assert columns.y is not None
    rows = max(1, CHUNK_BYTES // columns.y.row_bytes)
    both = _side_by_side((columns.y, columns.test), rows, columns.y.shape[0])
    classes = classes_of(y if test is None else y[~test] for y, test in both)
    if columns.test and not len(classes.values):
        raise InputError(f"{columns.test.where}: true for all rows: none is left for train")
    return classes


def _blocks(columns: Columns, vocabulary: int, classes: Classes | None) -> Iterator[Block]:
    """The samples, checked and turned into the types that are kept. Raises InputError naming array and row."""
    rows = max(1, CHUNK_BYTES // max(1, columns.x.row_bytes))
    start = 0
    for x, y, client, test in _side_by_side((columns.x, columns.y, columns.client, columns.test), rows, columns.x.shape[0]):
        samples = _features(x, columns.x, start, vocabulary)
        if columns.y is not None:
            y = classes.numbers(y, columns.y.where) if classes else _features(y, columns.y, start).astype(np.float32)
            y = y if classes else y.reshape(len(y), -1)
        owners = np.full(len(x), "all") if columns.client is None else _names(client, columns.client, start)
        yield Block(samples, y, owners, np.zeros(len(x), bool) if test is None else test)
        start += len(x)


def _kept(stored: np.dtype) -> type[np.uint8 | np.int32 | np.float32]:
    """The type in which numbers are kept."""
    if stored.kind == "f":
        return np.float32
    return np.uint8 if stored.kind == "b" or stored == np.uint8 else np.int32


def _features(values: np.ndarray, array: StoredArray, start: int, vocabulary: int = 0) -> np.ndarray:
    """Numbers as uint8, int32 or float32, of one axis or more beside the samples'. Raises InputError where they do not fit."""
    kind = _kept(values.dtype)
    with np.errstate(over="ignore"):
        kept = values.astype(kind)
    if kind is np.float32:
        fits, allowed = np.isfinite(kept), "finite in float32"
    elif vocabulary:
        fits, allowed = (values >= 0) & (values < vocabulary), f"tokens, 0 to {vocabulary - 1}"
    else:
        fits, allowed = (values >= INT32.min) & (values <= INT32.max), "32-bit integers"
    if not fits.all():
        row = int(np.argmin(fits.reshape(len(fits), -1).all(axis=1)))
        raise InputError(f"{array.where}: row {start + row}: {values[row][~fits[row]].flat[0]}; must be {allowed}")
    return kept[:, None] if kept.ndim == 1 else kept


def _names(values: np.ndarray, array: StoredArray, start: int) -> np.ndarray:
    """The client of each sample as numbers or text. Raises InputError for one without a name, or a name that is not UTF-8."""
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{array.where}: rows {start} to {start + len(values)}: not UTF-8: {error.object!r}") from error
    if values.dtype.kind == "U" and (values == "").any():
        raise InputError(f"{array.where}: row {start + int(np.argmax(values == ''))}: no client")
    return values
