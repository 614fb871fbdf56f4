"""What a participant is asked to do, in numbers that cost time: bytes, steps, samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Workload:
    """Bytes of what is sent down and up, and minibatch SGD for ``epochs`` or for ``local_steps`` (one of them is None).

    An epoch of n samples has ceil(n / batch_size) steps, the last of which may be smaller; local_steps go on into further
    epochs, each in an order of its own.
    """

    bytes_down: int
    bytes_up: int
    batch_size: int
    epochs: int | None
    local_steps: int | None

    def steps(self, samples: np.ndarray) -> np.ndarray:
        """SGD steps of clients with ``samples`` (int64) samples, int64."""
        if self.local_steps is not None:
            return np.full(len(samples), self.local_steps, np.int64)
        assert self.epochs is not None
        return self.epochs * -(-samples // self.batch_size)

    def processed(self, samples: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Samples that ``steps`` steps go through, int64: whole epochs, and what the steps begun since hold."""
        epoch_steps = -(-samples // self.batch_size)
        epochs, rest = np.divmod(steps, epoch_steps)
        return epochs * samples + np.minimum(rest * self.batch_size, samples)
