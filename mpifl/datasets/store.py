"""How an importer writes a data set: sample by sample, in the order of its source.

The samples are spooled to plain files beside the target until the source ends; then they are
written client by client. Memory holds one chunk of samples and a few numbers a client, whatever the
size of the source.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mpifl.datasets.check import check_dataset
from mpifl.datasets.dataset import PARTS, X_TYPES, Dataset, Description, Part, write_dataset
from mpifl.datasets.regroup import CHUNK_SAMPLES, by_client, regrouped
from mpifl.errors import InputError, counted
from mpifl.io.files import disk_full_errors, own_name

Name = str | int
"""A client's name in the source."""


@dataclass
class _Spool:
    """The columns of one part in files, as they come in.

    ``clients`` numbers the clients by first appearance; ``types`` holds type and shape of a row.
    """

    folder: Path
    files: dict[str, BinaryIO] = field(default_factory=dict)
    types: dict[str, tuple[np.dtype, tuple[int, ...]]] = field(default_factory=dict)
    clients: dict[Name, int] = field(default_factory=dict)
    samples: int = 0

    def append(self, columns: dict[str, np.ndarray], where: str) -> None:
        """Add rows. Raises InputError unless columns, types and shapes are as before."""
        types = {name: (values.dtype, values.shape[1:]) for name, values in columns.items()}
        self.types = self.types or types
        for name in self.types | types:
            new = types.get(name)
            before = self.types.get(name)
            if new != before:
                raise InputError(
                    f"{where}: {name} is {_kind(new)}, before it was {_kind(before)}:"
                    " all need the same type and shape"
                )

        for name, values in columns.items():
            if name not in self.files:
                self.files[name] = open(self.folder / name, "wb")  # noqa: SIM115  (closed by Store)
            self.files[name].write(np.ascontiguousarray(values).data)

    def column(self, name: str) -> np.ndarray:
        """Return a column as a memory map."""
        kind, shape = self.types[name]
        path = self.folder / name
        row_bytes = kind.itemsize * max(1, int(np.prod(shape)))
        rows = path.stat().st_size // row_bytes if np.prod(shape) else self.samples
        if path.stat().st_size == 0:
            return np.empty((rows, *shape), kind)
        return np.memmap(path, kind, "r", shape=(rows, *shape))

    def scratch(self, name: str, rows: int) -> np.ndarray:
        """Return a new int64 column (rows,) in a file of its own."""
        if not rows:
            return np.empty(0, np.int64)
        with open(self.folder / name, "w+b") as file:
            os.posix_fallocate(file.fileno(), 0, 8 * rows)  # a full disk would be a SIGBUS later
            return np.memmap(file, np.int64, "r+", shape=(rows,))


def _kind(kind: tuple[np.dtype, tuple[int, ...]] | None) -> str:
    """Return type and shape of a column's rows as text; None stands for a missing column."""
    return "missing" if kind is None else f"{kind[0]} {kind[1]}"


class Store:
    """Takes the samples of a data set; see ``storing``."""

    def __init__(self, folder: Path, on_samples: Callable[[int], None]) -> None:
        self._folder = folder
        self._on_samples = on_samples
        self._parts: dict[str, _Spool] = {}

    def add(
        self,
        part: str,
        client: Name | Sequence[Name] | np.ndarray,
        x: np.ndarray | Sequence[np.ndarray],
        y: np.ndarray | None = None,
        coarse: np.ndarray | None = None,
        *,
        where: str,
    ) -> None:
        """Add samples of one client, or samples that have a client each.

        Args:
            part: One of PARTS.
            client: The client of all samples, or (samples,) the client of each.
            x: (samples, ...) uint8, int32 or float32. For samples with lengths of their own a list
                of arrays of one type, which agree in all axes but the first.
            y: (samples,) int64 classes, (samples, outputs) float32, or None.
            coarse: (samples,) int64 coarse classes, or None.
            where: The place in the source, for error messages.

        Raises:
            InputError: A shape or type differs from those of earlier samples, or a column that
                they have is missing.
        """
        assert part in PARTS
        count = len(x)
        columns = {}
        if not isinstance(x, np.ndarray):
            if count == 0:
                return
            columns["length"] = np.array([len(sample) for sample in x], np.int64)
            x = _joined(x, where)
        if x.dtype not in X_TYPES:
            raise TypeError(f"x is {x.dtype}")  # a defect of the importer, not of the input
        columns["x"] = x

        for name, values in (("y", y), ("coarse", coarse)):
            if values is not None:
                if len(values) != count:
                    raise InputError(
                        f"{where}: {name} has {counted(len(values), 'row')} for"
                        f" {counted(count, 'sample')}"
                    )
                columns[name] = values

        spool = self._spool(part)
        columns["client"] = _runs(spool.clients, client, count, where)
        spool.append(columns, where)
        spool.samples += count
        self._on_samples(count)

    def _spool(self, part: str) -> _Spool:
        """Return the spool of a part; make it for the part's first samples."""
        if part not in self._parts:
            (self._folder / part).mkdir()
            self._parts[part] = _Spool(self._folder / part)
        return self._parts[part]

    def samples(self, part: str) -> int:
        """Return how many samples of a part have come in."""
        return self._parts[part].samples if part in self._parts else 0

    def dataset(self, description: Description) -> Dataset:
        """Return what has come in, to be written. Raises InputError without train samples."""
        if "train" not in self._parts:
            raise InputError(f"{description.name}: no samples were found")
        for spool in self._parts.values():
            for file in spool.files.values():
                file.close()

        attributes: dict[str, Any] = {
            item.name: getattr(description, item.name) for item in fields(Description)
        }
        parts = {name: _part(spool) for name, spool in self._parts.items()}
        return Dataset(**(attributes | parts))


def _joined(samples: Sequence[np.ndarray], where: str) -> np.ndarray:
    """Return samples with lengths of their own, one behind the other.

    Raises InputError for an empty one, and unless they differ in their lengths alone.
    """
    if min(len(sample) for sample in samples) < 1:
        raise InputError(f"{where}: a sample is empty; each needs a length of 1 or more")

    kind = (samples[0].dtype, samples[0].shape[1:])
    for sample in samples:
        if (sample.dtype, sample.shape[1:]) != kind:
            raise InputError(
                f"{where}: samples of {samples[0].dtype} {samples[0].shape} and {sample.dtype}"
                f" {sample.shape}: only their lengths, the first axis, may differ"
            )
    return np.concatenate(samples)


def _runs(
    known: dict[Name, int], client: Name | Sequence[Name] | np.ndarray, count: int, where: str
) -> np.ndarray:
    """Return whose the samples are, (runs, 2) int64: a client, and how many samples follow.

    Clients that are not in ``known`` are added to it with the next number.
    """
    if isinstance(client, str | int):
        return np.array([[known.setdefault(client, len(known)), count]], np.int64)
    if len(client) != count:
        raise InputError(
            f"{where}: {counted(len(client), 'client')} for {counted(count, 'sample')}"
        )

    names = np.asarray(client).tolist()
    numbers = np.array([known.setdefault(name, len(known)) for name in names], np.int64)
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    return np.column_stack([numbers[first], np.diff(first, append=count)])


def _part(spool: _Spool) -> Part:
    """Return the part of a spool: clients in sorted order, their samples in the old order."""
    if not spool.samples:
        raise InputError(f"{spool.folder.name}: no samples")

    rank, client_names = _ranked(spool)
    runs = spool.column("client")
    if spool.types["x"][1] == (0,) and not {"y", "coarse"} & spool.types.keys():
        sizes = np.zeros(len(rank), np.int64)
        np.add.at(sizes, rank[runs[:, 0]], runs[:, 1])
        x = np.empty((spool.samples, 0), spool.types["x"][0])
        return Part(x, None, np.concatenate([[0], np.cumsum(sizes)]), client_names)

    client = spool.scratch("rank", spool.samples)
    start = 0
    for block in np.array_split(runs, -(-len(runs) // CHUNK_SAMPLES)):
        stop = start + int(block[:, 1].sum())
        client[start:stop] = np.repeat(rank[block[:, 0]], block[:, 1])
        start = stop
    order, offsets = by_client(client, len(rank), spool.scratch("order", spool.samples))

    begin = None
    if "length" in spool.types:
        begin = spool.scratch("begin", spool.samples + 1)
        np.cumsum(spool.column("length"), out=begin[1:])
    y, coarse = (spool.column(name) if name in spool.types else None for name in ("y", "coarse"))
    part = Part(spool.column("x"), y, offsets, np.empty(0), begin, coarse)
    return regrouped(part, order, offsets, client_names)


def _ranked(spool: _Spool) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank (clients,) of each client in sorted order, and the sorted names as bytes.

    Names are sorted as numbers when all are numbers, else as text. Raises InputError for a name
    that occurs both as a number and as text.
    """
    texts = [str(name) for name in spool.clients]
    if len(set(texts)) < len(texts):
        numbers = (name for name in spool.clients if not isinstance(name, str))
        twice = next(number for number in numbers if str(number) in spool.clients)
        raise InputError(
            f"{spool.folder.name}: two clients have the same name, {twice}, once as a number and"
            " once as text"
        )

    numeric = all(text.isascii() and text.isdigit() for text in texts)
    in_order = sorted(
        range(len(texts)), key=lambda k: (int(texts[k]), texts[k]) if numeric else (0, texts[k])
    )
    rank = np.empty(len(texts), np.int64)
    rank[in_order] = np.arange(len(texts))
    return rank, np.array([texts[k].encode() for k in in_order], "S")


@contextlib.contextmanager
def storing(path: Path, on_samples: Callable[[int], None] = lambda count: None) -> Iterator[Store]:
    """Yield a Store whose files lie beside ``path`` and are deleted at the end of the block.

    ``on_samples`` is called with the number of samples of each ``add``. Raises InputError where no
    file can be made, and DiskFull.
    """
    folder = path.with_name(f".{path.name}.{own_name()}.spool")
    with disk_full_errors(path):
        try:
            folder.mkdir()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}: {path.parent}") from error

        store = Store(folder, on_samples)
        try:
            yield store
        except OSError as error:
            raise InputError(f"{error.filename or path}: {error.strerror or error}") from error
        finally:
            for spool in store._parts.values():
                for file in spool.files.values():
                    with contextlib.suppress(OSError):  # unwritten data are not needed any more
                        file.close()
            shutil.rmtree(folder, ignore_errors=True)


def write_store(
    path: Path, store: Store, description: Description, compression: str | None = None
) -> Dataset:
    """Check and write what has come in as a data set, and return it; its x must not be read.

    Raises InputError when the data set is not one that ``check_dataset`` accepts.
    """
    data = store.dataset(description)
    check_dataset(path, data)
    write_dataset(path, data, compression)
    return data
