"""How an importer writes a data set: it hands over samples in the order of its source, whose they are, and keeps none.

They wait in plain files beside the target until the source is at its end; then they are written client by client. What is held
in memory is a chunk and what is needed of each client, whatever the size of the source.
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
from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors

Name = str | int


@dataclass
class _Spool:
    """One part as it comes in: its columns in files, clients by number of first appearance."""

    folder: Path
    files: dict[str, BinaryIO] = field(default_factory=dict)
    types: dict[str, tuple[np.dtype, tuple[int, ...]]] = field(default_factory=dict)
    clients: dict[Name, int] = field(default_factory=dict)
    samples: int = 0

    def append(self, column: str, values: np.ndarray, where: str) -> None:
        """Add rows to a column, all of which have one type and shape."""
        kind = (values.dtype, values.shape[1:])
        if self.types.setdefault(column, kind) != kind:
            before = self.types[column]
            raise InputError(
                f"{where}: {column} of {kind[0]} {kind[1]}, those before have {before[0]} {before[1]}: all need the same shape"
            )
        if column not in self.files:
            self.files[column] = open(self.folder / column, "wb")  # noqa: SIM115  (closed by Store)
        self.files[column].write(np.ascontiguousarray(values).data)

    def column(self, name: str) -> np.ndarray:
        """A column as a memory map."""
        kind, shape = self.types[name]
        path = self.folder / name
        rows = path.stat().st_size // (kind.itemsize * max(1, int(np.prod(shape)))) if np.prod(shape) else self.samples
        if path.stat().st_size == 0:
            return np.empty((rows, *shape), kind)
        return np.memmap(path, kind, "r", shape=(rows, *shape))

    def scratch(self, name: str, rows: int) -> np.ndarray:
        """A new int64 column in a file of its own."""
        if not rows:
            return np.empty(0, np.int64)
        with open(self.folder / name, "w+b") as file:
            os.posix_fallocate(file.fileno(), 0, 8 * rows)  # a full disk would be a SIGBUS later
            return np.memmap(file, np.int64, "r+", shape=(rows,))


class Store:
    """The parts of a data set as they come in; see ``storing``."""

    def __init__(self, folder: Path, said: Callable[[int], None]) -> None:
        self._folder, self._said = folder, said
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
        """Add samples of one client, or of one each.

        part: one of PARTS. x: (samples, ...) uint8, int32 or float32; or, of samples with lengths of their own, a list of
        arrays of one type that agree in all axes but the first. y: (samples,) int64, (samples, outputs) float32 or None.
        ``where`` says in an error message where in the source this is. Raises InputError for shapes and types that differ from
        those before.
        """
        assert part in PARTS
        spool = self._parts.get(part)
        if spool is None:
            (self._folder / part).mkdir()
            spool = self._parts[part] = _Spool(self._folder / part)
        count = len(x)
        if not isinstance(x, np.ndarray):
            if count == 0:
                return
            if min(len(one) for one in x) < 1:
                raise InputError(f"{where}: a sample is empty; each needs a length of 1 or more")
            spool.append("length", np.array([len(one) for one in x], np.int64), where)
            x = np.concatenate(x)
        for column, values in (("x", x), ("y", y), ("coarse", coarse)):
            if values is not None:
                if column != "x" and len(values) != count:
                    raise InputError(f"{where}: {len(values)} labels for {count} samples")
                spool.append(column, values, where)
        if x.dtype not in X_TYPES:
            raise TypeError(f"x is {x.dtype}")  # an importer's mistake, not a user's
        spool.append("client", _runs(spool.clients, client, count, where), where)
        spool.samples += count
        self._said(count)

    def samples(self, part: str) -> int:
        """How many samples of a part have come in."""
        return self._parts[part].samples if part in self._parts else 0

    def dataset(self, description: Description) -> Dataset:
        """What has come in, to be written. Raises InputError when that is nothing."""
        if "train" not in self._parts:
            raise InputError(f"{description.name}: no samples were found")
        for spool in self._parts.values():
            for file in spool.files.values():
                file.close()
        said: dict[str, Any] = {found.name: getattr(description, found.name) for found in fields(Description)}
        return Dataset(**(said | {name: _part(spool) for name, spool in self._parts.items()}))


def _runs(known: dict[Name, int], client: Name | Sequence[Name] | np.ndarray, count: int, where: str) -> np.ndarray:
    """Whose the samples are, (runs, 2) int64: a client, and how many of its samples follow; new clients get the next number."""
    if isinstance(client, str | int):
        return np.array([[known.setdefault(client, len(known)), count]], np.int64)
    if len(client) != count:
        raise InputError(f"{where}: {len(client)} clients for {count} samples")
    numbers = np.array([known.setdefault(name, len(known)) for name in np.asarray(client).tolist()], np.int64)
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    return np.column_stack([numbers[first], np.diff(first, append=count)])


def _part(spool: _Spool) -> Part:
    """The part of a spool: clients in sorted order (by number where all names are numbers), their samples in the old order."""
    if not spool.samples:
        raise InputError(f"{spool.folder.name}: no samples")
    names = list(spool.clients)
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        raise InputError(f"{spool.folder.name}: two clients have the same name, once as a number and once as text")
    numeric = all(text.isascii() and text.isdigit() for text in texts)
    rank = np.empty(len(names), np.int64)
    in_order = sorted(range(len(names)), key=lambda k: (int(texts[k]), texts[k]) if numeric else (0, texts[k]))
    rank[in_order] = np.arange(len(names))
    runs, client_names = spool.column("client"), np.array([texts[k].encode() for k in in_order], "S")
    if spool.types["x"][1] == (0,) and not {"y", "coarse"} & spool.types.keys():
        sizes = np.zeros(len(names), np.int64)
        np.add.at(sizes, rank[runs[:, 0]], runs[:, 1])
        return Part(
            np.empty((spool.samples, 0), spool.types["x"][0]), None, np.concatenate([[0], np.cumsum(sizes)]), client_names
        )
    client, start = spool.scratch("rank", spool.samples), 0
    for block in np.array_split(runs, -(-len(runs) // CHUNK_SAMPLES)):
        stop = start + int(block[:, 1].sum())
        client[start:stop] = np.repeat(rank[block[:, 0]], block[:, 1])
        start = stop
    order, offsets = by_client(client, len(names), spool.scratch("order", spool.samples))
    begin = None
    if "length" in spool.types:
        begin = spool.scratch("begin", spool.samples + 1)
        np.cumsum(spool.column("length"), out=begin[1:])
    columns = {name: spool.column(name) if name in spool.types else None for name in ("y", "coarse")}
    part = Part(spool.column("x"), columns["y"], offsets, np.empty(0), begin, columns["coarse"])
    return regrouped(part, order, offsets, client_names)


@contextlib.contextmanager
def storing(path: Path, said: Callable[[int], None] = lambda count: None) -> Iterator[Store]:
    """A Store whose files lie beside ``path`` and are gone at the end of the block, however it ends.

    ``said`` is told of every ``add`` how many samples it brought. Raises InputError where no file can be made, and DiskFull.
    """
    folder = path.with_name(f".{path.name}.{os.getpid()}.spool")
    with disk_full_errors(path):
        try:
            folder.mkdir()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}: {path.parent}") from error
        store = Store(folder, said)
        try:
            yield store
        except OSError as error:
            raise InputError(f"{error.filename or path}: {error.strerror or error}") from error
        finally:
            for spool in store._parts.values():
                for file in spool.files.values():
                    with contextlib.suppress(OSError):  # what it still holds no longer matters
                        file.close()
            shutil.rmtree(folder, ignore_errors=True)


def write_store(path: Path, store: Store, description: Description, compression: str | None = None) -> Dataset:
    """Check and write what has come in as a data set; returns it, its x not to be read. Raises InputError when it is wrong."""
    data = store.dataset(description)
    check_dataset(path, data)
    write_dataset(path, data, compression)
    return data
