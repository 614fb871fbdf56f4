"""Files that were read whole, and whose contents were found to match their content_sha256.

Each is read once a start, by ``mpifl run`` or on rank 0, and a large one once on this machine, as
long as it stays as it is (``remembered``). Another rank reads it only if it sees another file under
the same name.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpifl.errors import InputError
from mpifl.io.files import read_errors
from mpifl.io.hdf5 import check_content
from mpifl.io.remembered import RECENT_NANOSECONDS, recall, remember

CONTENT = "content"
BYTES = "bytes"
VARIABLE = "MPIFL_VERIFIED"

MOST_TOLD_BYTES = 1 << 16
"""The most that ranks are told; Linux starts no process with a variable of 128 KiB."""

Stamp = tuple[int, int, int]
"""Inode, size and time of the last change (ns) of a file.

Ranks that see the same stamp see the same file."""


@dataclass(frozen=True)
class _Reading:
    """A file that was read whole: its stamp, the time of reading (ns), and the hash."""

    stamp: Stamp
    when: int
    digest: str

    @property
    def lasts(self) -> bool:
        """Whether a later change would show in the stamp.

        Two changes within one step of the file system's clock leave the same time.
        """
        return self.when - self.stamp[2] > RECENT_NANOSECONDS


def _of_this_start() -> dict[tuple[Path, str], _Reading]:
    """Return what ``mpifl run`` read before it started the ranks."""
    entries = json.loads(os.environ.get(VARIABLE, "[]"))
    return {
        (Path(path), kind): _Reading(tuple(stamp), when, digest)
        for path, kind, stamp, when, digest in entries
    }


_known = _of_this_start()


def for_the_ranks() -> dict[str, str]:
    """Return what to add to the environment of the ranks.

    With it they need not read the files again. Of very many files, as a sweep over data sets has,
    those that were read first are told.
    """
    told = "[]"
    entries = []
    for (path, kind), reading in _known.items():
        if reading.lasts:
            entries.append([str(path), kind, reading.stamp, reading.when, reading.digest])
            text = json.dumps(entries)
            if len(text) > MOST_TOLD_BYTES:
                break
            told = text
    return {VARIABLE: told}


def verified(path: Path, form: str, schema: int) -> str:
    """Return the content_sha256 of one of our HDF5 files.

    Raises InputError when its contents do not match it.
    """
    return _once(path, CONTENT, lambda: check_content(path, form, schema))


def bytes_sha256(path: Path) -> str:
    """Return the SHA-256 of the bytes of a file. Raises InputError when it cannot be read."""

    def read() -> str:
        with read_errors(path), open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return _once(path, BYTES, read)


def what_was_verified(path: Path) -> tuple[Stamp, str] | None:
    """Return, on rank 0, the stamp and content_sha256 of a verified file, for the other ranks.

    None if the file was not verified.
    """
    reading = _known.get((path.resolve(), CONTENT))
    return None if reading is None else (reading.stamp, reading.digest)


def check_same(path: Path, stamp: Sequence[int], digest: str, form: str, schema: int) -> None:
    """Check, on another rank, that a file has the contents of the one that rank 0 verified.

    Only a file with another stamp is read: a copy on this host, or one that was changed since.
    Raises InputError when the contents differ.
    """
    if _stamp(path) == tuple(stamp):
        return
    digest_here = verified(path, form, schema)
    if digest_here != digest:
        raise InputError(
            f"{path}: content_sha256 {digest_here[:12]} on {socket.gethostname()} and"
            f" {digest[:12]} on rank 0; every host has to see the same file, and nobody may write"
            " to it while a run goes on"
        )


def _once(path: Path, kind: str, read: Callable[[], str]) -> str:
    """Return what ``read`` returns, which reads all of the file.

    It is called once a start, and again if the file has changed; not at all if the file is
    remembered.
    """
    path = path.resolve()
    status = _status(path)
    stamp = _stamp_of(status)
    now = time.time_ns()

    reading = _known.get((path, kind))
    if reading is None or reading.stamp != stamp or not reading.lasts:
        digest = recall(path, kind, status)
        if digest is None:
            digest = read()
            if _stamp(path) == stamp:  # else another file may have been read
                remember(path, kind, status, now, digest)
        reading = _Reading(stamp, now, digest)
        _known[path, kind] = reading
    return reading.digest


def _stamp(path: Path) -> Stamp:
    return _stamp_of(_status(path))


def _status(path: Path) -> os.stat_result:
    """Return the status of a file that is opened for that.

    Without it NFS may tell what the file was up to a minute ago, before another host changed it.
    """
    with read_errors(path), open(path, "rb") as file:
        return os.fstat(file.fileno())


def _stamp_of(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns
