"""What clients keep from one time to the next (SCAFFOLD's control variates), for whichever rank trains them next.

A folder a client in the run directory, with one small file for each round that it took part in: those since the oldest
checkpoint that is kept, and the last one before it. A task names the round whose file it reads (TASK, ``state_round``), so a
round that is repeated, after a resume or because its rank was killed, reads what it read the first time and ends with the same
bits; a file that is missing is an error. Nothing grows with the population, only with the clients that ever took part.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.errors import InputError, TrainingError
from mpifl.io.files import disk_full_errors

FOLDERS, DIGEST_BYTES = 256, 16


@dataclass(frozen=True)
class ClientStore:
    """Vectors of ``length`` float32 by client, in files below ``folder``, which is checkpoint/clients of a run directory.

    A file begins with a hash of the vector, of DIGEST_BYTES.
    """

    folder: Path
    length: int

    def read(self, client: int, round_number: int) -> np.ndarray:
        """Return what the client kept after round ``round_number``: (length,) float32.

        Raises InputError when that file is missing or damaged: the client without its state would train to other bits.
        """
        path = self._folder(client) / str(round_number)
        try:
            raw = path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(
                f"{path}: missing on host {socket.gethostname()}: it holds the state that client {client} kept after round"
                f" {round_number}; all ranks need the same run directory (--out on a shared file system), with all its files"
            ) from error
        if len(raw) != DIGEST_BYTES + self.length * 4 or raw[:DIGEST_BYTES] != _digest(
            raw[DIGEST_BYTES:]
        ):
            raise InputError(
                f"{path}: damaged: it does not have the hash that it begins with; only a copy of it or a new run helps"
            )
        return np.frombuffer(raw, np.float32, offset=DIGEST_BYTES).copy()

    def write(self, client: int, round_number: int, vector: np.ndarray, oldest: int) -> None:
        """Keep what the client has after round ``round_number``; the run may be taken up again after round ``oldest``.

        Raises DiskFull.
        """
        folder = self._folder(client)
        if vector.shape != (self.length,):
            raise TrainingError(
                f"{folder}: the algorithm keeps {vector.shape}, the model's shape is ({self.length},)"
            )
        path, partial = folder / str(round_number), folder / f".{round_number}.{os.getpid()}.part"
        body = vector.astype(np.float32).tobytes()
        with disk_full_errors(path, DIGEST_BYTES + len(body), run=self.folder.parents[1]):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(_digest(body) + body)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        for number in sorted(number for number in _rounds(folder) if number <= oldest)[:-1]:
            (folder / str(number)).unlink(missing_ok=True)

    def _folder(self, client: int) -> Path:
        return self.folder / f"{client % FOLDERS:02x}" / str(client)


def client_store(checkpoints: Path, length: int) -> ClientStore:
    """Return the store below a run's ``checkpoints`` folder, for vectors of ``length`` float32."""
    return ClientStore(checkpoints / "clients", length)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


def _rounds(folder: Path) -> list[int]:
    """The rounds of which there is a file."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except FileNotFoundError:
        return []
