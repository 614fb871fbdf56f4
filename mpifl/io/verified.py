"""Files whose contents were read whole and found to have the content_sha256 that they name.

Each is read once at a start, by ``mpifl run`` or on rank 0. The other ranks read it only where they see another file under
its name.
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
from mpifl.io.hdf5 import check_content, hdf5_errors

RECENT_NANOSECONDS = 2 * 10**9
CONTENT, BYTES = "content", "bytes"
VARIABLE = "MPIFL_VERIFIED"

Stamp = tuple[int, int, int]
"""Inode, size and time of the last change (ns) of a file: ranks that see the same see the same file."""


@dataclass(frozen=True)
class _Reading:
    """What was found when all of a file was read: its stamp, when that was (ns), and the hash."""

    stamp: Stamp
    when: int
    digest: str

    @property
    def lasts(self) -> bool:
        """Whether a change after it shows in the stamp: two changes may come within one step of a file's time."""
        return self.when - self.stamp[2] > RECENT_NANOSECONDS


def _of_this_start() -> dict[tuple[Path, str], _Reading]:
    """What ``mpifl run`` has read before it started the ranks."""
    told = json.loads(os.environ.get(VARIABLE, "[]"))
    return {
        (Path(path), kind): _Reading(tuple(stamp), when, digest)
        for path, kind, stamp, when, digest in told
    }


_known = _of_this_start()


def for_the_ranks() -> dict[str, str]:
    """What to add to the environment of ranks that are started now, so that they need not read the same files once more."""
    told = [
        [str(path), kind, read.stamp, read.when, read.digest]
        for (path, kind), read in _known.items()
        if read.lasts
    ]
    return {VARIABLE: json.dumps(told)}


def verified(path: Path, form: str, schema: int) -> str:
    """Return the content_sha256 of one of our HDF5 files, which its contents have. Raises InputError."""
    return _once(path, CONTENT, lambda: check_content(path, form, schema))


def bytes_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as it lies on the disk. Raises InputError."""

    def read() -> str:
        with hdf5_errors(path), open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return _once(path, BYTES, read)


def what_was_verified(path: Path) -> tuple[Stamp, str] | None:
    """On rank 0, for the other ranks: the stamp and the content_sha256 of a file when it was verified; None if it was not."""
    read = _known.get((path.resolve(), CONTENT))
    return None if read is None else (read.stamp, read.digest)


def check_same(path: Path, stamp: Sequence[int], digest: str, form: str, schema: int) -> None:
    """On another rank: check that a file is the one that rank 0 has verified, or one with the same contents.

    Raises InputError. Only a file with another stamp is read: a copy on this host, or one that was changed meanwhile.
    """
    if _stamp(path) == tuple(stamp):
        return
    here = check_content(path, form, schema)
    if here != digest:
        raise InputError(
            f"{path}: content_sha256 {here[:12]} on {socket.gethostname()} and {digest[:12]} on rank 0; every host has to"
            " see the same file, and nobody may write to it while a run goes on"
        )


def _once(path: Path, kind: str, read: Callable[[], str]) -> str:
    """What ``read`` finds, which reads all of the file: once in a start, unless somebody touches the file."""
    key = (path.resolve(), kind)
    stamp, now = _stamp(path), time.time_ns()
    before = _known.get(key)
    if before is None or before.stamp != stamp or not before.lasts:
        before = _known[key] = _Reading(stamp, now, read())
    return before.digest


def _stamp(path: Path) -> Stamp:
    with hdf5_errors(path):
        found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
