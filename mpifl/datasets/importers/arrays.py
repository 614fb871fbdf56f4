"""NumPy arrays in .npy and .npz files, by name.

Nothing is unpickled. One block of an array is held in memory at a time.
"""

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
from mpifl.io.files import read_errors

ENDINGS = (".npy", ".npz", ".npy.xz", ".npz.xz")
Place = tuple[Path, str | None]
"""A file and, in an archive, the member."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: its place, and the contents of its header."""

    place: Place
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def location(self) -> str:
        """File and member, for messages."""
        return _location(self.place)

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry of the first axis."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    def blocks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """Yield the array in blocks of ``rows`` entries of the first axis.

        The default is about CHUNK_BYTES a block. Raise InputError if the file is truncated.
        """
        rows = rows or max(1, CHUNK_BYTES // max(1, self.row_bytes))
        if self.fortran and len(self.shape) > 1:
            yield from self._mapped(rows)
            return

        with _stream(self.place) as stream:
            _header(stream)
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                raw = stream.take(count * self.row_bytes)
                values = np.frombuffer(raw, self.dtype, count * math.prod(self.shape[1:]))
                block = values.reshape(count, *self.shape[1:])
                yield block.view(np.uint8) != 0 if self.dtype == np.bool_ else block
            stream.end()

    def _mapped(self, rows: int) -> Iterator[np.ndarray]:
        """Yield the blocks of an array in Fortran order, whose rows are spread over the file."""
        if self.place[0].suffix != ".npy":
            raise InputError(
                f"{self.location}: Fortran order can only be read from an uncompressed .npy;"
                " save it so, or in C order"
            )
        with read_errors(self.place[0]):
            array = np.load(self.place[0], mmap_mode="r", allow_pickle=False)
            if array.offset + array.nbytes != self.place[0].stat().st_size:
                raise ValueError("more bytes than its header declares")

        for start in range(0, self.shape[0], rows):
            yield np.array(array[start : start + rows])


def find_arrays(paths: list[Path]) -> dict[str, Place]:
    """Return the place of each array, by its key in an archive or its file name without the ending.

    Raise InputError for a file of another format, and for two arrays with one name.
    """
    places: dict[str, Place] = {}
    for path in paths:
        longest_first = sorted(ENDINGS, key=len, reverse=True)
        ending = next((ending for ending in longest_first if path.name.endswith(ending)), None)
        if ending is None:
            raise InputError(f"{path}: must end in {', '.join(ENDINGS)}")
        if not path.is_file():
            raise InputError(f"{path}: no such file")

        is_single = ending.startswith(".npy")
        names = [path.name.removesuffix(ending)] if is_single else _members(path)
        for name in names:
            if name in places:
                raise InputError(f"{path}: array {name!r} is also in {places[name][0]}")
            places[name] = (path, None if is_single else name)
    return places


def open_array(places: dict[str, Place], name: str, option: str) -> StoredArray:
    """Read the header of the array ``name``.

    Raise InputError naming ``option`` if there is no such array, and naming the file if it holds
    neither numbers nor text.
    """
    if name not in places:
        names = ", ".join(sorted(places))
        raise InputError(f"{option}: {name!r}: no such array; there are: {names}")
    with _stream(places[name]) as stream:
        shape, fortran, dtype = _header(stream)

    location = _location(places[name])
    if dtype.hasobject:
        raise InputError(
            f"{location}: holds Python objects, which would have to be unpickled;"
            " allowed are numbers and text"
        )
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        raise InputError(f"{location}: {dtype}; allowed are numbers and text")
    if not shape or shape[0] < 1:
        raise InputError(f"{location}: shape {shape}; the first axis are the samples, 1 or more")
    return StoredArray(places[name], shape, dtype, fortran)


def _location(place: Place) -> str:
    return str(place[0]) if place[1] is None else f"{place[0]}: {place[1]}"


def _members(path: Path) -> list[str]:
    with read_errors(path), _archive(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: holds array {name.removesuffix('.npy')!r} twice")
    return [name.removesuffix(".npy") for name in names]


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with (
        lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file,
        zipfile.ZipFile(file) as archive,
    ):
        yield archive


@contextlib.contextmanager
def _stream(place: Place) -> Iterator[Stream]:
    path, member = place
    if member is None:
        with opened(path) as stream:
            yield stream
        return

    with contextlib.ExitStack() as stack:
        with read_errors(path):
            file = stack.enter_context(stack.enter_context(_archive(path)).open(f"{member}.npy"))
        yield Stream(_location(place), file)


def _header(stream: Stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether the order is Fortran's, and dtype.

    Version 3 of the format is refused: it is for field names in Unicode, and arrays with fields are
    not allowed here.
    """
    with read_errors(stream.path):
        version = np.lib.format.read_magic(stream.file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(stream.file)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(stream.file)
        raise ValueError(f"version {version} of numpy's format; allowed: 1.0 and 2.0")
