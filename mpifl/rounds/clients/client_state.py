"""The state that clients keep between rounds, for whichever rank trains them next.

SCAFFOLD's control variates, for example. Each client has a folder in the run directory, with one
small file for each round that it took part in: the rounds since the oldest checkpoint that is kept,
and the last one before it. A task names the round whose file it reads (TASK, ``state_round``). So a
round that is repeated, after a resume or because a rank died, reads what it read the first time and
ends with the same bits. A missing file is an error. Nothing grows with the population, only with
the number of clients that ever took part.
"""

from __future__ import annotations

import hashlib
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.errors import InputError, TrainingError
from mpifl.io.files import disk_full_errors

FOLDERS = 256
DIGEST_BYTES = 16


@dataclass(frozen=True)
class ClientStore:
    """Arrays (float32) by client, in files below ``folder``.

    That is checkpoint/clients of a run directory. A file is a hash of DIGEST_BYTES, and the arrays
    in the order of ``shapes``, one behind the other.
    """

    folder: Path
    shapes: Mapping[str, tuple[int, ...]]

    def read(self, client: int, round_number: int) -> dict[str, np.ndarray]:
        """Return the arrays that the client kept after round ``round_number``, by name.

        Raises InputError when that file is missing or damaged: without its state the client would
        train to other bits.
        """
        path = self._folder(client) / str(round_number)
        try:
            raw = path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(
                f"{path}: missing on host {socket.gethostname()}: it holds the state that client"
                f" {client} kept after round {round_number}; all ranks need the same run directory"
                " (--out on a shared file system), with all its files"
            ) from error
        except OSError as error:
            raise InputError(f"{path}: {error.strerror} on host {socket.gethostname()}") from error

        digest = raw[:DIGEST_BYTES]
        body = raw[DIGEST_BYTES:]
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        if len(body) != sum(sizes) * 4 or digest != _digest(body):
            raise InputError(
                f"{path}: damaged: its contents do not have the hash at its beginning; restore it"
                " from a copy, or start a new run"
            )
        whole = np.frombuffer(raw, np.float32, offset=DIGEST_BYTES).copy()
        pieces = np.split(whole, np.cumsum(sizes)[:-1])
        return {
            name: piece.reshape(shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def write(
        self, client: int, round_number: int, arrays: Mapping[str, np.ndarray], oldest: int
    ) -> None:
        """Keep the client's ``arrays`` after round ``round_number``, and remove what is not needed.

        ``oldest`` is the first round after which the run might be resumed. Raises DiskFull, and
        TrainingError for an array of another shape.
        """
        for name, shape in self.shapes.items():
            if arrays[name].shape != shape:
                raise TrainingError(
                    f"keep: {name!r} has the shape {arrays[name].shape}; the algorithm declares"
                    f" {shape} in kept"
                )

        folder = self._folder(client)
        path = folder / str(round_number)
        partial = folder / f".{round_number}.{os.getpid()}.part"
        body = b"".join(arrays[name].astype(np.float32).tobytes() for name in self.shapes)
        with disk_full_errors(path, DIGEST_BYTES + len(body), run=self.run):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(_digest(body) + body)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

        for number in sorted(number for number in _rounds(folder) if number <= oldest)[:-1]:
            (folder / str(number)).unlink(missing_ok=True)

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.folder.parents[1]

    def _folder(self, client: int) -> Path:
        return self.folder / f"{client % FOLDERS:02x}" / str(client)


def client_store(checkpoints: Path, shapes: Mapping[str, tuple[int, ...]]) -> ClientStore:
    """Return the store below a run's ``checkpoints`` folder, for arrays of some shapes."""
    return ClientStore(checkpoints / "clients", shapes)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


def _rounds(folder: Path) -> list[int]:
    """Return the rounds for which there is a file."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except FileNotFoundError:
        return []
