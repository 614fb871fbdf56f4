"""What clients keep from one time to the next (SCAFFOLD's control variates), for whichever rank trains them next.

One small file a client in the run directory, with two slots that take turns: the one written in the last round that the
client took part in, and the one before. A round that is taken up again (its rank was killed, say) reads the older slot, so
that it ends with the same bits. Nothing grows with the population, only with the clients that ever took part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mpifl.errors import TrainingError

HEADER = 2 * 8  # the round (int64, from 1; 0 is never written) of each slot
FOLDERS = 256


@dataclass(frozen=True)
class ClientStore:
    """Vectors of ``length`` float32 by client, in files below ``folder``."""

    folder: Path
    length: int

    def read(self, client: int, round_number: int) -> np.ndarray | None:
        """What the client had before round ``round_number``; None when it has not taken part before."""
        path = self._path(client)
        if not path.exists():
            return None
        with open(path, "rb") as file:
            rounds = _rounds(file)
            earlier = np.where((rounds > 0) & (rounds < round_number), rounds, 0)
            slot = int(np.argmax(earlier))
            if not earlier[slot]:
                if rounds.all():
                    held = f"rounds {rounds[0]} and {rounds[1]}"
                    raise TrainingError(f"{path}: holds {held}, and nothing from before round {round_number}")
                return None
            file.seek(HEADER + slot * self.length * 4)
            raw = file.read(self.length * 4)
        if len(raw) != self.length * 4:
            raise TrainingError(f"{path}: holds {len(raw) // 4} of {self.length} values")
        return np.frombuffer(raw, np.float32).copy()

    def write(self, client: int, round_number: int, vector: np.ndarray) -> None:
        """Keep what the client has after round ``round_number``, in the slot that the round does not read."""
        path = self._path(client)
        if vector.shape != (self.length,):
            raise TrainingError(f"{path}: the algorithm keeps {vector.shape}, the model's shape is ({self.length},)")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with open(path, "r+b") as file:
            rounds = _rounds(file)
            earlier = np.where(rounds < round_number, rounds, 0)
            slot = 1 - int(np.argmax(earlier))
            file.seek(HEADER + slot * self.length * 4)
            file.write(vector.astype(np.float32).tobytes())
            file.flush()
            rounds[slot] = round_number
            file.seek(0)
            file.write(rounds.tobytes())

    def _path(self, client: int) -> Path:
        return self.folder / f"{client % FOLDERS:02x}" / str(client)


def _rounds(file: BinaryIO) -> np.ndarray:
    """The round of each slot; 0, 0 in a file whose writer got no further than making it."""
    header = file.read(HEADER)
    return np.frombuffer(header, np.int64).copy() if len(header) == HEADER else np.zeros(2, np.int64)
