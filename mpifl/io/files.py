"""Where files are, and atomic writes: a file appears complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mpifl.errors import InputError, TrainingError

PACKAGE = Path(__file__).parents[1]
FULL = errno.ENOSPC, errno.EDQUOT


class DiskFull(TrainingError):  # noqa: N818  (as in errors)
    """A disk is full, or a quota is used up. Exit status 1.

    The message is one line with the file, what it needs, what is free and how to go on. ``reason``
    is the system's text. ``needed_bytes`` is the size of the file, or of what was to be added; None
    if unknown.
    """

    def __init__(self, path: Path, reason: str, needed_bytes: int | None, run: Path | None) -> None:
        self.reason = reason
        self.needed_bytes = needed_bytes
        needs = f"it needs {needed_bytes:,} bytes, " if needed_bytes else ""
        resume = f", then go on with --resume {os.path.relpath(run)}" if run else ""
        super().__init__(f"{path}: {reason}: {needs}{_free(path)}; make room{resume}")


@contextlib.contextmanager
def disk_full_errors(
    path: Path, needed_bytes: int | None = None, run: Path | None = None
) -> Iterator[None]:
    """Re-raise an error of a full disk (ENOSPC, EDQUOT) in the block as DiskFull.

    ``path`` is the file of which ``needed_bytes`` were to be written. ``run`` is a run directory
    that can be resumed. Of nested blocks the outermost names the file and the run.
    """
    try:
        yield
    except DiskFull as error:
        raise DiskFull(path, error.reason, error.needed_bytes or needed_bytes, run) from error
    except Exception as error:
        # Libraries raise exceptions of their own, with the system's text in their message.
        for text in map(os.strerror, FULL):
            if text in str(error):
                raise DiskFull(path, text, needed_bytes, run) from error
        raise


def _free(path: Path) -> str:
    """Return a text that says what is free where ``path`` was to be written.

    A quota may leave less than the disk has.
    """
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    status = os.statvfs(folder)
    if status.f_files and not status.f_favail:
        return "the disk takes no more files (no inodes are free)"
    return f"{shutil.disk_usage(folder).free:,} are free on the disk"


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Convert any exception in the block to an InputError that names the file.

    h5py, zipfile, lzma and others raise exceptions of every type when they read a damaged file.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: not readable, or not whole ({error})") from error


def is_file(path: Path) -> bool:
    """Return whether a file exists; False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def shipped(folder: str, name: str) -> Path | None:
    """Return the YAML file ``name`` of a folder that ships with the package, or None.

    ``folder`` is ``jobs`` or ``traces``.
    """
    paths = (base / f"{name}.yaml" for base in _shipped_folders(folder))
    return next((path for path in paths if is_file(path)), None)


def shipped_names(folder: str) -> list[str]:
    """Return the names of the YAML files in a folder that ships with the package, sorted."""
    names = {path.stem for base in _shipped_folders(folder) for path in base.glob("*.yaml")}
    return sorted(names)


def _shipped_folders(folder: str) -> tuple[Path, Path]:
    """Return the places of such a folder: in an installed package, and in a checkout beside it."""
    installed = {"jobs": PACKAGE / "jobs", "traces": PACKAGE / "traces" / "recipes"}
    return installed[folder], PACKAGE.parent / folder


def cache_path() -> Path:
    """Return ``$MPIFL_CACHE``, else ``mpifl`` in ``$XDG_CACHE_HOME`` or ~/.cache.

    Raises InputError for a user without a home folder, as there are in containers.
    """
    own = os.environ.get("MPIFL_CACHE")
    if own:
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpifl"
    except RuntimeError as error:
        raise InputError(
            "cache folder: you have no home folder; point MPIFL_CACHE to a folder you can write"
        ) from error


def compiled_path() -> Path:
    """Return where the kernels' machine code lies: beside the package, or in the cache folder.

    The latter where the package's folder cannot be written. Raises InputError as ``cache_path``.
    """
    return PACKAGE.parent / "__pycache__" if os.access(PACKAGE.parent, os.W_OK) else cache_path()


def cache_folder() -> Path:
    """Return ``cache_path``, and make the folder when missing.

    Every rank reads what rank 0 builds here, so on several nodes it has to be on a shared file
    system. Raises InputError when it cannot be made.
    """
    base = cache_path()
    try:
        with disk_full_errors(base):
            base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cache folder {base}: {error.strerror}; point MPIFL_CACHE to a folder you can write"
        ) from error
    return base


PARTIAL = ".*.part"
"""The names of files that are not whole yet (``whole_file``)."""


def own_name() -> str:
    """Return a name for temporary files that no other writer in the same folder has.

    Processes on other hosts, or in containers, may have the same number.
    """
    return f"{os.getpid()}-{os.urandom(4).hex()}"


@contextlib.contextmanager
def whole_file(path: Path, needed_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` at the end of the block.

    After an error in the block it is deleted instead. Raises InputError when the folder is missing,
    DiskFull when the disk is full.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")

    partial = path.with_name(f".{path.name}.{own_name()}.part")
    with disk_full_errors(path, needed_bytes):
        try:
            yield partial
            to_disk(partial)
            partial.replace(path)
            to_disk(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def usual_mode(path: Path) -> Iterator[None]:
    """Give a file that is written in the block the mode that the umask gives.

    For safetensors, which replaces it by one that only its owner can read.
    """
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(mode)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def locked(stream: IO[bytes], wait: bool = False) -> bool:
    """Lock a file for this process while it is open; return False when another has locked it.

    Or ``wait`` until none has. On a file system without locks nobody can be kept out: returns True.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a small text file so that it is never seen half-written."""
    content = text.encode()
    with whole_file(path, len(content)) as partial:
        partial.write_bytes(content)
