"""NumPy arrays: ``.npy`` files and ``.npz`` archives, which may be compressed with xz."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.arrays import StoredArray, find_arrays, open_array
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.labels import Classes, classes_of
from mpifl.datasets.importers.moments import NORMALISE_HELP, Moments, Normalise
from mpifl.datasets.importers.npz_tasks import LABELS, WITH_CLASSES, Task
from mpifl.datasets.importers.streams import CHUNK_BYTES
from mpifl.datasets.store import Store
from mpifl.errors import InputError, counted

INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Columns:
    """The arrays of one source, with equal numbers of rows.

    ``test`` is true for the rows of the test part.
    """

    x: StoredArray
    y: StoredArray | None
    client: StoredArray | None
    test: StoredArray | None


class Npz(Importer):
    """Arrays in .npz and .npy files (also with .xz); the first axis of each are the samples.

    An array is named by its key in an .npz, or by the name of its .npy file without the ending.
    Floats are stored as float32, integers as uint8 or int32. Without --client all samples belong to
    one client "all", and a partitioner distributes them.
    """

    x: str = Field(description="name of the samples' array (samples, ...)")
    label: str | None = Field(
        None,
        description="name of the labels' array: integers or text (samples,); regression: numbers;"
        " segmentation: classes of pixels (samples, height, width); transcription: symbols"
        " (samples, longest), -1 behind the end; detection: boxes (samples, most boxes, 5) of"
        " class, left, top, right, bottom, as shares of width and height, class -1: no box;"
        " control: the most steps of an episode",
    )
    client: str | None = Field(
        None, description="name of the clients' array (samples,), integers or text"
    )
    test_rows: str | None = Field(
        None,
        description="name of a boolean array (samples,), true for samples of the test part",
    )
    task: Task = Field("classification", description="what is learned")
    classes: int = Field(
        0,
        ge=0,
        description="segmentation, transcription, detection, control: number of classes, of"
        " symbols, or of actions",
    )
    vocabulary: int = Field(
        0, ge=0, description="number of token ids, if x holds those; a language needs it"
    )
    normalise: Normalise = Field("none", description=NORMALISE_HELP)
    channel_axis: int | None = Field(
        None,
        ge=1,
        description="axis of x whose indices --normalise scales separately; axis 0 are the samples",
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.task == "language") != (self.label is None):
            raise ValueError("classification and regression need --label, a language has none")
        least = 1 if self.task == "detection" else 2
        if (self.task in WITH_CLASSES) != (self.classes >= least):
            tasks = "segmentation, transcription and control, 1 or more with detection"
            raise ValueError(f"--classes, 2 or more, goes with {tasks}")
        if self.task == "language" and not self.vocabulary:
            raise ValueError("--task language needs --vocabulary")
        if self.vocabulary and self.normalise != "none":
            raise ValueError("--normalise is for features, and --vocabulary is for tokens")
        return self

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read files from front to back. Labels of a classification are read twice."""
        if self.test_rows and "test" in sources:
            raise InputError(f"--test-rows: {self.test_rows!r}: not together with --test")
        parts = {part: self._columns(paths) for part, paths in sources.items()}
        train = parts["train"]
        if self.channel_axis is not None and self.channel_axis >= len(train.x.shape):
            raise InputError(
                f"--channel-axis: {self.channel_axis}:"
                f" {train.x.location} has the shape {train.x.shape}"
            )
        classes = _classes(train) if self.task == "classification" else None

        for columns in parts.values():
            has_type = _stored_type(columns.x.dtype) == _stored_type(train.x.dtype)
            if columns.x.shape[1:] != train.x.shape[1:] or not has_type:
                raise InputError(
                    f"{columns.x.location}: samples of {columns.x.dtype} {columns.x.shape[1:]};"
                    f" train's are {train.x.dtype} {train.x.shape[1:]}"
                )

        moments = Moments(self.channel_axis)
        for part, columns in parts.items():
            for block in _blocks(columns, self.vocabulary, classes):
                block.add(store, part, columns.x.location)
                if part == "train":
                    moments.add(block.x[~block.test])
        if self.test_rows and not store.samples("test"):
            raise InputError(f"--test-rows: {self.test_rows!r} is true for no row")
        return self._description(train, classes, moments)

    def _description(
        self, train: Columns, classes: Classes | None, moments: Moments
    ) -> Description:
        stored = np.dtype(_stored_type(train.x.dtype))
        scale, shift = moments.scaling(self.normalise, stored)
        if train.y is None:
            outputs = self.vocabulary
        elif self.task in WITH_CLASSES:
            outputs = self.classes
        else:
            outputs = len(classes.values) if classes else int(np.prod(train.y.shape[1:]))

        return Description(
            name=train.x.place[0].resolve().parent.name,
            outputs=outputs,
            source=f"{train.x.place[0].name}: {self.x} of {train.x.dtype}, kept as {stored};"
            f" y {self.label}, client {self.client}, test {self.test_rows},"
            f" features: {self.normalise}",
            licence="as its source says",
            task=self.task,
            vocabulary=self.vocabulary,
            feature_scale=scale,
            feature_shift=shift,
            labels=classes.names if classes else np.empty(0, "S1"),
        )

    def _columns(self, paths: list[Path]) -> Columns:
        """Open the arrays that the options name.

        Raise InputError if an array is missing, or does not fit its option.
        """
        places = find_arrays(paths)
        x = open_array(places, self.x, "--x")
        is_token_table = x.dtype.kind in "iu" and len(x.shape) == 2
        if x.dtype.kind not in "biuf" or (self.vocabulary and not is_token_table):
            tokens = "tokens are integers (samples, length)"
            wanted = tokens if self.vocabulary else "samples are numbers"
            raise InputError(f"{x.location}: {x.dtype} {x.shape}; {wanted}")

        def column(option: str, name: str | None, kinds: str, axes: int = 1) -> StoredArray | None:
            if name is None:
                return None
            array = open_array(places, name, option)
            if array.shape[0] != x.shape[0]:
                raise InputError(
                    f"{array.location}: {counted(array.shape[0], 'row')}; {x.location} has"
                    f" {x.shape[0]}"
                )
            if array.dtype.kind not in kinds or len(array.shape) > axes:
                raise InputError(
                    f"{array.location}: {array.dtype} {array.shape}"
                    f" cannot be {option} of a {self.task}"
                )
            return array

        return Columns(
            x,
            column("--label", self.label, *LABELS.get(self.task, ("", 0))),
            column("--client", self.client, "iuSU"),
            column("--test-rows", self.test_rows, "b"),
        )


@dataclass(frozen=True)
class Block:
    """Some samples in their stored types; ``test`` (samples,) bool."""

    x: np.ndarray
    y: np.ndarray | None
    client: np.ndarray
    test: np.ndarray

    def add(self, store: Store, part: str, location: str) -> None:
        """Add the rows of ``test`` to the test part of the store, and the others to ``part``."""
        for name, rows in ((part, ~self.test), ("test", self.test)):
            if rows.any():
                y = None if self.y is None else self.y[rows]
                store.add(name, self.client[rows], self.x[rows], y, where=location)


def _side_by_side(
    arrays: tuple[StoredArray | None, ...], rows: int, samples: int
) -> Iterator[tuple[Any, ...]]:
    """Yield blocks of the same ``rows`` rows of all arrays; None for a missing array."""
    count = -(-samples // rows)
    blocks = (array.blocks(rows) if array else itertools.repeat(None, count) for array in arrays)
    yield from zip(*blocks, strict=True)


def _classes(columns: Columns) -> Classes:
    """Return the classes of the train rows."""
    assert columns.y is not None
    rows = max(1, CHUNK_BYTES // columns.y.row_bytes)
    pairs = _side_by_side((columns.y, columns.test), rows, columns.y.shape[0])
    classes = classes_of(y if test is None else y[~test] for y, test in pairs)
    if columns.test and not len(classes.values):
        raise InputError(f"{columns.test.location}: true for all rows: none is left for train")
    return classes


def _blocks(columns: Columns, vocabulary: int, classes: Classes | None) -> Iterator[Block]:
    """Yield the samples, checked and in their stored types.

    Raise InputError naming array and row.
    """
    rows = max(1, CHUNK_BYTES // max(1, columns.x.row_bytes))
    arrays = (columns.x, columns.y, columns.client, columns.test)
    start = 0
    for x, y, client, test in _side_by_side(arrays, rows, columns.x.shape[0]):
        samples = _features(x, columns.x, start, vocabulary)
        if columns.y is not None and classes:
            y = classes.numbers(y, columns.y.location)
        elif columns.y is not None:
            # as floats, because targets are stored so: they need not fit into 32-bit integers
            y = _features(y.astype(np.float64), columns.y, start).reshape(len(y), -1)
        owners = np.full(len(x), "all")
        if columns.client is not None:
            owners = _names(client, columns.client, start)
        yield Block(samples, y, owners, np.zeros(len(x), bool) if test is None else test)
        start += len(x)


def _stored_type(source: np.dtype) -> type[np.uint8 | np.int32 | np.float32]:
    """Return the type in which numbers of the dtype are stored."""
    if source.kind == "f":
        return np.float32
    return np.uint8 if source.kind == "b" or source == np.uint8 else np.int32


def _features(
    values: np.ndarray, array: StoredArray, start: int, vocabulary: int = 0
) -> np.ndarray:
    """Return numbers (rows, ...) in their stored type; one number a row becomes (rows, 1).

    Raise InputError naming a number that does not fit.
    """
    kind = _stored_type(values.dtype)
    with np.errstate(over="ignore"):
        stored = values.astype(kind)

    if kind is np.float32:
        fits = np.isfinite(stored)
        allowed = "finite in float32"
    elif vocabulary:
        fits = (values >= 0) & (values < vocabulary)
        allowed = f"tokens, 0 to {vocabulary - 1}"
    else:
        fits = (values >= INT32.min) & (values <= INT32.max)
        allowed = "32-bit integers"
    if not fits.all():
        row = int(np.argmin(fits.reshape(len(fits), -1).all(axis=1)))
        value = values[row][~fits[row]].flat[0]
        raise InputError(f"{array.location}: row {start + row}: {value}; must be {allowed}")
    return stored[:, None] if stored.ndim == 1 else stored


def _names(values: np.ndarray, array: StoredArray, start: int) -> np.ndarray:
    """Return the client of each sample as numbers or text.

    Raise InputError for an empty name, or one that is not UTF-8.
    """
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            last = start + len(values) - 1
            raise InputError(
                f"{array.location}: rows {start} to {last}: not UTF-8: {error.object!r}"
            ) from error
    if values.dtype.kind == "U" and (values == "").any():
        row = start + int(np.argmax(values == ""))
        raise InputError(f"{array.location}: row {row}: no client")
    return values
