"""Our HDF5 files: opened with checks, written with an error on a full disk, hashed and mapped."""

from __future__ import annotations

import contextlib
import hashlib
import io
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, is_file, read_errors

HEAP = b"GCOL\1\0\0\0"  # how a global heap begins: HDF5's store of texts of variable length
HEAPS_WITHIN_BYTES = 1 << 16
PLAIN = h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID

# Bytes hashed at a time. A chunk is unpacked again for every block that it overlaps.
BLOCK_BYTES = 1 << 20
CHUNKED_BLOCK_BYTES = 1 << 24


class _FullDiskFile(io.FileIO):
    """A file that silently drops what is written after its disk is full.

    ``failed`` is the first error, ``end`` the size that the file was to have.
    """

    failed: OSError | None = None
    end = 0

    def write(self, data: Any) -> int:
        """Write all of ``data``; nothing after an error."""
        view = memoryview(data).cast("B")
        self.end = max(self.end, self.tell() + len(view))

        done = 0
        try:
            while done < len(view) and not self.failed:
                done += super().write(view[done:]) or 0
        except OSError as error:
            self.failed = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut off or lengthen the file; nothing after an error."""
        return (size or 0) if self.failed else super().truncate(size)


@contextlib.contextmanager
def writing_hdf5(path: Path, mode: str = "w", **options: Any) -> Iterator[h5py.File]:
    """Open an HDF5 file for writing (``mode`` "w" or "r+"); it is complete at the end of the block.

    Raises DiskFull, with the size that the file was to have. HDF5 does not handle a full disk: it
    keeps trying, reports the error for every object that it closes, and crashes at exit (HDF5
    2.0.0). So the error is hidden from it, and raised here.
    """
    with _FullDiskFile(path, "w+" if mode == "w" else mode) as stream:
        try:
            with h5py.File(stream, mode, **options) as file:
                yield file
        except Exception:
            if stream.failed is None:
                raise
            # Else HDF5 read back what was not written.

        if stream.failed is not None:
            with disk_full_errors(path, stream.end):
                raise stream.failed


_MADE = {
    "mpifl-dataset": "; `mpifl data import` makes one of other files",
    "mpifl-trace": "; `mpifl traces import` makes one of other files",
}
"""What makes a file of a format, said of a file that is no HDF5."""

_TAKEN_BY = {
    "mpifl-dataset": " (it is a data set: data.name, and `mpifl data show`, take it)",
    "mpifl-trace": " (it is a device trace: population.trace, and `mpifl traces show`, take it)",
}
"""What a file of a format is for, said where one of another format is expected."""


def open_hdf5(path: Path, kind: str, schema: int) -> h5py.File:
    """Open one of our HDF5 files for reading.

    Raises InputError when it is missing, is not HDF5, is not of ``kind``, or has another schema.
    """
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    check_heaps(path)
    with read_errors(path):
        if not h5py.is_hdf5(path):
            made = _MADE.get(kind, "")
            raise InputError(f"{path}: not readable, or not whole: it is no HDF5 file{made}")
        file = h5py.File(path, "r", locking="best-effort")
    try:
        with read_errors(path):
            _check_attributes(file)
            form = file.attrs.get("format")
            version = file.attrs.get("schema_version")
    except InputError:
        file.close()
        raise

    if not (np.array_equal(form, kind) and np.array_equal(version, schema)):
        file.close()
        other = "" if np.array_equal(form, kind) else _TAKEN_BY.get(str(form), "")
        raise InputError(
            f"{path}: format {form!r} version {version}; expected {kind!r} version {schema}{other}"
        )
    return file


def check_heaps(path: Path, within_bytes: int = HEAPS_WITHIN_BYTES) -> None:
    """Raise InputError for a heap of texts on which HDF5 would loop forever.

    HDF5 walks a heap from object to object. Free space (object 0) of length 0 leads it back to the
    same object. Only heaps in the first ``within_bytes`` are checked. Our files have their
    attributes, and so the heap of their texts, at the beginning; foreign files may have heaps
    anywhere.
    """
    with read_errors(path):
        empty = path.stat().st_size == 0
    if empty:  # an empty file cannot be mapped
        return

    with (
        read_errors(path),
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw,
    ):
        size = min(len(raw), within_bytes)
        heap = raw.find(HEAP, 0, size)
        while heap >= 0:
            end = heap + int.from_bytes(raw[heap + 8 : heap + 16], "little")
            item = heap + 16
            while item + 16 <= min(end, size):
                number = int.from_bytes(raw[item : item + 2], "little")
                length = int.from_bytes(raw[item + 8 : item + 16], "little")
                step = 16 + -(-length // 8) * 8 if number else length
                if not step:
                    raise InputError(
                        f"{path}: damaged: the heap of its texts at byte {heap} never ends; get the"
                        " file again"
                    )
                item += step
            heap = raw.find(HEAP, max(heap + 1, min(end, size)), size)


def _check_attributes(file: h5py.File) -> None:
    """Raise ValueError for an attribute of a type that ours never have.

    HDF5 may crash when it reads a damaged attribute of another type.
    """
    for key in file.attrs:
        if not isinstance(h5py.h5a.open(file.id, key.encode()).get_type(), PLAIN):
            raise ValueError(f"attribute {key!r} is neither text nor a number")


def check_content(path: Path, kind: str, schema: int) -> str:
    """Return the content_sha256 of one of our HDF5 files. Reads all of it.

    Raises InputError when the contents do not have the hash that the file names.
    """
    with open_hdf5(path, kind, schema) as file, read_errors(path):
        digest = content_sha256(file)
        if str(file.attrs["content_sha256"]) != digest:
            raise InputError(
                f"{path}: damaged or changed: its contents do not match its content_sha256; build"
                " or download it again"
            )
    return digest


def content_sha256(file: h5py.File) -> str:
    """Return the SHA-256 of everything in an HDF5 file but the hash itself.

    Over names, types, shapes, bytes and attributes.
    """
    digest = hashlib.sha256()

    def attributes(item: h5py.File | h5py.Group | h5py.Dataset) -> None:
        for key in sorted(item.attrs):
            if key != "content_sha256":
                value = np.asarray(item.attrs[key])
                digest.update(f"@{key}={value.tolist()!r};".encode())

    attributes(file)
    names: list[str] = []
    file.visit(names.append)
    for name in sorted(names):
        item = file[name]
        digest.update(f"/{name};".encode())
        attributes(item)
        if isinstance(item, h5py.Dataset):
            digest.update(f"{item.dtype.str}{item.shape};".encode())
            if item.size:
                _update(digest, item)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, column: h5py.Dataset) -> None:
    """Add the bytes of a column to a hash.

    All blocks are read into the same memory: to allocate memory for each block takes as long as to
    hash it.
    """
    block_bytes = BLOCK_BYTES if column.chunks is None else CHUNKED_BLOCK_BYTES
    row_bytes = column.dtype.itemsize * int(np.prod(column.shape[1:]))
    rows = max(1, block_bytes // max(1, row_bytes))
    memory = np.empty((min(rows, len(column)), *column.shape[1:]), column.dtype)

    for start in range(0, len(column), rows):
        block = memory[: len(column) - start]
        column.read_direct(block, np.s_[start : start + len(block)])
        digest.update(block.data)


def mapped(dataset: h5py.Dataset, what: str) -> np.ndarray:
    """Return an HDF5 data set as a memory map: ranks of a node share the pages and copy nothing.

    The mapping is copy-on-write, so that torch may wrap it. ``what`` names the data set in errors.
    Raises InputError when it is compressed or chunked.
    """
    path = dataset.file.filename
    if dataset.size == 0:
        return np.empty(dataset.shape, dataset.dtype)

    offset = dataset.id.get_offset()
    if offset is None:
        raise InputError(
            f"{path}: {what} is chunked or compressed and cannot be mapped; write it contiguous"
        )
    return np.asarray(np.memmap(path, dataset.dtype, "c", offset, dataset.shape))
