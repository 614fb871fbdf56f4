"""Arrays that numpy wrote, by name, read from front to back: nothing is unpickled, and no more than a block is held."""

from __future__ import annotations

import contextlib
import lzma
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.datasets.importers.streams import CHUNK_BYTES, Stream, opened
from mpifl.errors import InputError
from mpifl.io.hdf5 import hdf5_errors

ENDINGS = (".npy", ".npz", ".npy.xz", ".npz.xz")
Place = tuple[Path, str | None]
"""A file and, of an archive, the member."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: where it is, and what its header says."""

    place: Place
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def where(self) -> str:
        """File and member, for messages."""
        return _where(self.place)

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry of the first axis."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    def blocks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """All of it in blocks of ``rows`` entries (about CHUNK_BYTES) of the first axis; InputError when it is cut off."""
        rows = rows or max(1, CHUNK_BYTES // max(1, self.row_bytes))
        if self.fortran and len(self.shape) > 1:
            yield from self._mapped(rows)
            return
        with _stream(self.place) as stream:
            _header(stream)
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                raw = stream.take(count * self.row_bytes)
                found = np.frombuffer(raw, self.dtype, count * math.prod(self.shape[1:])).reshape(count, *self.shape[1:])
                yield found.view(np.uint8) != 0 if self.dtype == np.bool_ else found
            stream.end()

    def _mapped(self, rows: int) -> Iterator[np.ndarray]:
        """The same of an array whose first axis is the innermost: its rows are spread over all of the file."""
        if self.place[0].suffix != ".npy":
            raise InputError(f"{self.where}: in Fortran's order, packed: save it in C's order, or as .npy")
        with hdf5_errors(self.place[0]):
            array = np.load(self.place[0], mmap_mode="r", allow_pickle=False)
            if array.offset + array.nbytes != self.place[0].stat().st_size:
                raise ValueError("it goes on where its header says that it ends")
        for start in range(0, self.shape[0], rows):
            yield np.array(array[start : start + rows])


def find_arrays(paths: list[Path]) -> dict[str, Place]:
    """Where each array is: by the key in an archive, or by the file's name without its ending.

    Raises InputError for a file of another kind, and for a name that is there twice.
    """
    found: dict[str, Place] = {}
    for path in paths:
        ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if path.name.endswith(ending)), None)
        if ending is None:
            raise InputError(f"{path}: must end in {', '.join(ENDINGS)}")
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        names = [path.name.removesuffix(ending)] if ending.startswith(".npy") else _members(path)
        for name in names:
            if name in found:
                raise InputError(f"{path}: array {name!r} is also in {found[name][0]}")
            found[name] = (path, None if ending.startswith(".npy") else name)
    return found


def open_array(places: dict[str, Place], name: str, option: str) -> StoredArray:
    """The header of an array. Raises InputError when there is none of the name, or it holds neither numbers nor text."""
    if name not in places:
        raise InputError(f"{option}: {name!r}: no such array; there are: {', '.join(sorted(places))}")
    with _stream(places[name]) as stream:
        shape, fortran, dtype = _header(stream)
    where = _where(places[name])
    if dtype.hasobject:
        raise InputError(f"{where}: holds Python objects, which only unpickling could read; allowed are numbers and text")
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        raise InputError(f"{where}: {dtype}; allowed are numbers and text")
    if not shape or shape[0] < 1:
        raise InputError(f"{where}: shape {shape}; the first axis are the samples, 1 or more")
    return StoredArray(places[name], shape, dtype, fortran)


def _where(place: Place) -> str:
    return str(place[0]) if place[1] is None else f"{place[0]}: {place[1]}"


def _members(path: Path) -> list[str]:
    with hdf5_errors(path), _archive(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: array {name.removesuffix('.npy')!r} is there twice")
    return [name.removesuffix(".npy") for name in names]


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file, zipfile.ZipFile(file) as archive:
        yield archive


@contextlib.contextmanager
def _stream(place: Place) -> Iterator[Stream]:
    path, member = place
    if member is None:
        with opened(path) as stream:
            yield stream
        return
    with contextlib.ExitStack() as stack:
        with hdf5_errors(path):
            file = stack.enter_context(stack.enter_context(_archive(path)).open(f"{member}.npy"))
        yield Stream(_where(place), file)


def _header(stream: Stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type. Version 3 of the format is for names of fields, which no array here has."""
    with hdf5_errors(stream.path):
        version = np.lib.format.read_magic(stream.file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(stream.file)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(stream.file)
        raise ValueError(f"version {version} of numpy's format; allowed: 1.0 and 2.0")
