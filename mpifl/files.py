"""Where files lie, and how they appear: whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import mmap
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from mpifl.errors import InputError, TrainingError

PACKAGE = Path(__file__).parent
HEAP = b"GCOL\1\0\0\0"  # how a heap of HDF5's texts of any length begins
HEAPS_WITHIN_BYTES = 1 << 16
PLAIN = h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID
BLOCK_BYTES, CHUNKED_BLOCK_BYTES = 1 << 20, 1 << 24  # hashed at a time; a chunk is unpacked for every block that it is in
FULL = errno.ENOSPC, errno.EDQUOT


class NoRoom(TrainingError):  # noqa: N818  (as in errors)
    """A disk is full, or a quota used up: one line with the file, what it needs, what there is and how to go on. Exit status 1.

    ``reason`` is the system's word for it; ``needed_bytes`` the size of the file, or of what was to be added; None if unknown.
    """

    def __init__(self, path: Path, reason: str, needed_bytes: int | None, run: Path | None) -> None:
        self.reason, self.needed_bytes = reason, needed_bytes
        needs = f"it needs {needed_bytes:,} bytes, " if needed_bytes else ""
        then = f", then go on with --resume {os.path.relpath(run)}" if run else ""
        super().__init__(f"{path}: {reason}: {needs}{_free(path)}; make room{then}")


@contextlib.contextmanager
def room(path: Path, needed_bytes: int | None = None, run: Path | None = None) -> Iterator[None]:
    """Whatever says in the block that the disk is full is NoRoom for ``path``, of ``needed_bytes``.

    ``run`` is a run directory that can be gone on with. Of blocks in blocks the outermost names the file, and the run.
    """
    try:
        yield
    except NoRoom as error:
        raise NoRoom(path, error.reason, error.needed_bytes or needed_bytes, run) from error
    except Exception as error:  # libraries have their own, with the system's text in theirs
        for text in map(os.strerror, FULL):
            if text in str(error):
                raise NoRoom(path, text, needed_bytes, run) from error
        raise


def _free(path: Path) -> str:
    """What there is where a file was to be made. A quota may leave less than the disk has."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    found = os.statvfs(folder)
    if found.f_files and not found.f_favail:
        return "the disk takes no more files (no inodes are free)"
    return f"{shutil.disk_usage(folder).free:,} are free on the disk"


def is_file(path: Path) -> bool:
    """Whether there is such a file; False too for what can be no file's name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def shipped(folder: str, name: str) -> Path | None:
    """The file ``name`` of a folder that ships with the package (``jobs``, ``traces``), or None.

    An installed package holds these folders inside it; a checkout has them beside it.
    """
    for base in (PACKAGE / folder, PACKAGE.parent / folder):
        path = base / f"{name}.yaml"
        if is_file(path):
            return path
    return None


def shipped_names(folder: str) -> list[str]:
    """Names of the YAML files in a folder that ships with the package, sorted."""
    found = {p.stem for base in (PACKAGE / folder, PACKAGE.parent / folder) for p in base.glob("*.yaml")}
    return sorted(found)


def cache_path() -> Path:
    """``$MPIFL_CACHE``, else ``mpifl`` in ``$XDG_CACHE_HOME`` or ~/.cache."""
    own = os.environ.get("MPIFL_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpifl"


def cache_folder() -> Path:
    """``cache_path``, made when missing. Raises InputError when it cannot be.

    Every rank reads what rank 0 builds here, so on several nodes it has to be on a shared file system.
    """
    base = cache_path()
    try:
        with room(base):
            base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache folder {base}: {error.strerror}; point MPIFL_CACHE to a folder you can write") from error
    return base


@contextlib.contextmanager
def whole_file(path: Path, needed_bytes: int | None = None) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name only when the block ends without an error. Raises NoRoom."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with room(path, needed_bytes):
        try:
            yield partial
            to_disk(partial)
            partial.replace(path)
            to_disk(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def locked(stream: IO[bytes]) -> bool:
    """Keep a file for this process as long as it is open; False when another has it. Some file systems know no locks."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks there: nobody can be kept out
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a small text file so that it is never seen half-written."""
    content = text.encode()
    with whole_file(path, len(content)) as partial:
        partial.write_bytes(content)


class _Patient(io.FileIO):
    """A file that takes no more once its disk is full, and says so in ``failed`` alone; ``end`` is how long it would be."""

    failed: OSError | None = None
    end = 0

    def write(self, data: Any) -> int:
        """Write all of it, or nothing any more."""
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
        """Cut off, or made longer, where it still matters."""
        return (size or 0) if self.failed else super().truncate(size)


@contextlib.contextmanager
def writing_hdf5(path: Path, mode: str = "w", **options: Any) -> Iterator[h5py.File]:
    """An HDF5 file to write (``mode`` "w" or "r+"), whole at the end of the block. Raises NoRoom with the size it was to have.

    HDF5 does not bear a full disk: it goes on trying, says so at every object that it lets go of, and crashes at exit
    (HDF5 2.0.0). So it is not told, and we are.
    """
    with _Patient(path, "w+" if mode == "w" else mode) as stream:
        try:
            with h5py.File(stream, mode, **options) as file:
                yield file
        except Exception:
            if stream.failed is None:
                raise  # else it read what was not written
        if stream.failed is not None:
            with room(path, stream.end):
                raise stream.failed


def open_hdf5(path: Path, kind: str, schema: int) -> h5py.File:
    """Open one of our HDF5 files for reading.

    Raises InputError when it is missing, is not HDF5, is not of ``kind``, or has a newer schema.
    """
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    check_heaps(path)
    with damage(path):
        file = h5py.File(path, "r", locking="best-effort")
    try:
        with damage(path):
            _check_attributes(file)
            found, version = file.attrs.get("format"), file.attrs.get("schema_version")
    except InputError:
        file.close()
        raise
    if not (np.array_equal(found, kind) and np.array_equal(version, schema)):
        file.close()
        raise InputError(f"{path}: format {found!r} version {version}; expected {kind!r} version {schema}")
    return file


def check_heaps(path: Path, within_bytes: int = HEAPS_WITHIN_BYTES) -> None:
    """Raise InputError for a heap of texts, in the first bytes of an HDF5 file, over which HDF5 would hang for ever.

    It walks a heap from object to object; free space (object 0) that says that it has no bytes leads it back to itself. Our
    files have their attributes, and so the heap of their texts, at the beginning; those of others may have heaps anywhere.
    """
    with damage(path):
        empty = path.stat().st_size == 0
    if empty:  # which no map can be made of
        return
    with damage(path), open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        size = min(len(raw), within_bytes)
        at = raw.find(HEAP, 0, size)
        while at >= 0:
            end, item = at + int.from_bytes(raw[at + 8 : at + 16], "little"), at + 16
            while item + 16 <= min(end, size):
                number, length = (
                    int.from_bytes(raw[item : item + 2], "little"),
                    int.from_bytes(raw[item + 8 : item + 16], "little"),
                )
                step = 16 + -(-length // 8) * 8 if number else length
                if not step:
                    raise InputError(f"{path}: damaged: the heap of its texts at byte {at} never ends; get the file again")
                item += step
            at = raw.find(HEAP, max(at + 1, min(end, size)), size)


def _check_attributes(file: h5py.File) -> None:
    """Raise ValueError for an attribute of a type that ours never have: over a damaged one HDF5 may crash when it is read."""
    for key in file.attrs:
        if not isinstance(h5py.h5a.open(file.id, key.encode()).get_type(), PLAIN):
            raise ValueError(f"attribute {key!r} is neither text nor a number")


def check_content(path: Path, kind: str, schema: int) -> str:
    """Return the content_sha256 of one of our HDF5 files, which its contents have. Reads all of it. Raises InputError."""
    with open_hdf5(path, kind, schema) as file, damage(path):
        digest = content_sha256(file)
        if str(file.attrs["content_sha256"]) != digest:
            raise InputError(
                f"{path}: damaged or changed: its contents do not have the content_sha256 that it names; make it anew, or get"
                " it again"
            )
    return digest


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Whatever h5py raises in the block, and it raises anything, is an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: not readable, or not whole ({error})") from error


def content_sha256(file: h5py.File) -> str:
    """SHA-256 over names, types, shapes, bytes and attributes of all that is in an HDF5 file, hash excepted."""
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

    Blocks are read into one piece of memory: to get a new piece for each block takes as long as to hash it.
    """
    block_bytes = BLOCK_BYTES if column.chunks is None else CHUNKED_BLOCK_BYTES
    rows = max(1, block_bytes // max(1, column.dtype.itemsize * int(np.prod(column.shape[1:]))))
    memory = np.empty((min(rows, len(column)), *column.shape[1:]), column.dtype)
    for start in range(0, len(column), rows):
        block = memory[: len(column) - start]
        column.read_direct(block, np.s_[start : start + len(block)])
        digest.update(block.data)


def mapped(dataset: h5py.Dataset, what: str) -> np.ndarray:
    """An HDF5 data set as a memory map: ranks of a node share the pages and copy nothing.

    The mapping is copy-on-write, so that torch may wrap it. Raises InputError when the set is compressed or chunked.
    """
    path = dataset.file.filename
    if dataset.size == 0:
        return np.empty(dataset.shape, dataset.dtype)
    offset = dataset.id.get_offset()
    if offset is None:
        raise InputError(f"{path}: {what} is chunked or compressed and cannot be mapped; write it contiguous")
    return np.asarray(np.memmap(path, dataset.dtype, "c", offset, dataset.shape))
