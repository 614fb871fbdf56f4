"""Hashes of large files, kept in the cache folder from one start to the next.

A file is the same if device, inode, size and the times of the last change of its contents and of
its inode are. The last of them cannot be set back: a copy that keeps a file's time has a new one.
Small files are not worth it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from pathlib import Path

from mpifl.errors import InputError
from mpifl.io.files import DiskFull, cache_path, write_text

SMALLEST_BYTES = 1 << 20
RECENT_NANOSECONDS = 2 * 10**9
VERIFY_HELP = (
    "read all data and traces again, also those that were read before and have not changed"
)

_uses_memory = True


def forget() -> None:
    """Read all files again in this process, as ``--verify`` asks, and remember what they hold."""
    global _uses_memory
    _uses_memory = False


def recall(path: Path, kind: str, status: os.stat_result) -> str | None:
    """Return the hash that a file with this status had, or None if it is not known."""
    if not _uses_memory or status.st_size < SMALLEST_BYTES:
        return None
    try:
        noted = json.loads(_note(path, kind).read_text())
        is_same = noted["file"] == _identity(path, kind, status)
        return str(noted["sha256"]) if is_same else None
    except (OSError, ValueError, KeyError, TypeError, InputError):  # none, or damaged
        return None


def remember(path: Path, kind: str, status: os.stat_result, when: int, digest: str) -> None:
    """Note the hash of a file, whose ``status`` was read at ``when`` (ns), before its contents.

    Files that had just been written are left out: a later change might have the same time. A cache
    folder that cannot be written to is no error: the file is read again.
    """
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    if status.st_size < SMALLEST_BYTES or when - changed <= RECENT_NANOSECONDS:
        return
    text = json.dumps({"file": _identity(path, kind, status), "sha256": digest})
    with contextlib.suppress(OSError, DiskFull, InputError):
        note = _note(path, kind)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, text)


def _identity(path: Path, kind: str, status: os.stat_result) -> list[str | int]:
    return [
        socket.gethostname(),
        str(path),
        kind,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]


def _note(path: Path, kind: str) -> Path:
    """Return the file of a note: hosts that share a cache folder have their own."""
    key = json.dumps([socket.gethostname(), str(path), kind])
    return cache_path() / "verified" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
