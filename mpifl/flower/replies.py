"""The log of replies in a run directory: all that a run needs to go on where it was stopped.

``checkpoint/replies.log`` begins with MAGIC and has a record for each message that a ClientApp has
answered: ENTRY, the reply, and the node's state after it (protobuf both). A run that is resumed
runs the ServerApp from the beginning, and gives it these replies. Node states are read from here
too, so that none is held in memory.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mpifl.errors import InputError, TrainingError
from mpifl.flower.wire import Answer
from mpifl.io.files import disk_full_errors

LOG_FILE = "replies.log"
MAGIC = b"mpifl-flower-replies-2\n"

ENTRY = np.dtype(
    [
        ("number", "<i8"),  # of the message
        ("partition", "<i8"),
        ("failed", "<i8"),
        ("asked", "S16"),  # of the message's type and content: the beginning of a SHA-256, in hex
        ("reply_bytes", "<i8"),
        ("state_bytes", "<i8"),
        ("crc32", "<i8"),  # of reply and state
    ]
)


class ReplyLog:
    """The replies of a run so far, and the last state of each node."""

    def __init__(self, folder: Path, states_only: bool = False) -> None:
        """Open the log of a folder, or begin one. What is not whole at its end is cut off.

        With ``states_only`` replies are not logged. Raises InputError when the file is none of
        ours.
        """
        self._states_only = states_only
        self._path = folder / LOG_FILE
        self._run = folder.parent
        self._replies: dict[int, int] = {}
        self._states: dict[int, tuple[int, int]] = {}
        with disk_full_errors(self._path, run=self._run):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            size = os.fstat(self._file).st_size
            if size < len(MAGIC):
                os.pwrite(self._file, MAGIC, 0)
            elif os.pread(self._file, len(MAGIC), 0) != MAGIC:
                raise InputError(f"{self._path}: not a log of replies of this version of mpifl")
            self._end = len(MAGIC)
            while self._whole_entry(size):
                pass
            os.ftruncate(self._file, self._end)

    def __len__(self) -> int:
        return len(self._replies)

    def _whole_entry(self, size: int) -> bool:
        """Note the entry at the end of those that are known, if it is whole."""
        begin = self._end
        if begin + ENTRY.itemsize > size:
            return False
        entry = self._entry(begin)
        end = begin + ENTRY.itemsize + int(entry["reply_bytes"]) + int(entry["state_bytes"])
        if not begin < end <= size:
            return False
        reply, state = self._parts(begin, entry)
        if _crc32(reply, state) != entry["crc32"]:
            return False
        self._note(entry, begin)
        self._end = end
        return True

    def _note(self, entry: np.void, begin: int) -> None:
        """Remember where the reply of a message is."""
        self._replies[int(entry["number"])] = begin

    def take(self, number: int, partition: int, asked: str) -> Answer | None:
        """Return the logged answer to a message, None when there is none.

        The state becomes the node's. Raises TrainingError when another node or another content was
        asked then.
        """
        begin = self._replies.get(number)
        if begin is None:
            return None
        entry = self._entry(begin)
        if entry["partition"] != partition or entry["asked"].decode() != asked:
            what = "type or content" if entry["partition"] == partition else "node"
            raise TrainingError(
                f"{self._path}: message {number} has another {what} than when its reply was"
                " logged: the ServerApp does not compute the same when it runs again (an unseeded"
                " generator, the time, a file that has changed); start anew with --out"
            )
        reply, state = self._parts(begin, entry)
        self._keep(int(entry["partition"]), begin, entry)
        return Answer(number, bool(entry["failed"]), reply, state)

    def add(self, answer: Answer, partition: int, asked: str) -> None:
        """Log an answer, and keep the node's state. Raises DiskFull."""
        reply = b"" if self._states_only else answer.reply
        entry: np.void = np.zeros(1, ENTRY)[0]
        entry["number"] = answer.number
        entry["partition"] = partition
        entry["failed"] = answer.failed
        entry["asked"] = asked.encode()
        entry["reply_bytes"] = len(reply)
        entry["state_bytes"] = len(answer.state)
        entry["crc32"] = _crc32(reply, answer.state)

        parts = [entry.tobytes(), reply, answer.state]
        needed = sum(map(len, parts))
        with disk_full_errors(self._path, needed, self._run):
            written = os.pwritev(self._file, parts, self._end)
            if written < needed:
                rest = b"".join(parts)
                while written < needed:
                    written += os.pwrite(self._file, rest[written:], self._end + written)
        if not self._states_only:
            self._note(entry, self._end)
        self._keep(partition, self._end, entry)
        self._end += needed

    def _keep(self, partition: int, begin: int, entry: np.void) -> None:
        """Remember where the state of a node is."""
        size = int(entry["state_bytes"])
        self._states[partition] = (begin + ENTRY.itemsize + int(entry["reply_bytes"]), size)

    def state(self, partition: int) -> bytes:
        """Return the state of a node, protobuf; empty for none."""
        begin, size = self._states.get(partition, (0, 0))
        return os.pread(self._file, size, begin) if size else b""

    def place(self, partition: int) -> tuple[int, int]:
        """Return where the state of a node is, for ``restore``."""
        return self._states.get(partition, (0, 0))

    def restore(self, partition: int, place: tuple[int, int]) -> None:
        """Give a node back the state that it had at a ``place``."""
        self._states[partition] = place

    def _entry(self, begin: int) -> np.void:
        raw = os.pread(self._file, ENTRY.itemsize, begin)
        entry: np.void = np.frombuffer(raw, ENTRY)[0]
        return entry

    def _parts(self, begin: int, entry: np.void) -> tuple[bytes, bytes]:
        """Return reply and state of an entry."""
        reply_bytes = int(entry["reply_bytes"])
        size = reply_bytes + int(entry["state_bytes"])
        raw = os.pread(self._file, size, begin + ENTRY.itemsize)
        return raw[:reply_bytes], raw[reply_bytes:]

    def replies(self) -> Iterator[bytes]:
        """Yield all replies, protobuf, in the order of their messages."""
        for message in sorted(self._replies):
            begin = self._replies[message]
            yield self._parts(begin, self._entry(begin))[0]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _crc32(*parts: bytes | bytearray | memoryview) -> int:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc
