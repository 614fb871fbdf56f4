"""What a participant is asked to do, in numbers that cost time: bytes, steps, samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRAINING_PER_INFERENCE = 3.0
"""One training sample costs three inferences: forward, and a backward of twice that (FedScale, client_metadata.py)."""


@dataclass(frozen=True)
class Workload:
    """Bytes of what is sent down and up, and minibatch SGD for ``epochs`` or for ``local_steps`` (one of them is None).

    An epoch of n samples has ceil(n / batch_size) steps, the last of which may be smaller. With ``drop_last`` it has
    floor(n / batch_size), all of them whole; a client with fewer samples than that has one step with all that it has.
    local_steps go on into further epochs, each in an order of its own.

    A training sample costs as much time as ``inferences_per_sample`` samples of the trace's own measure. With
    ``full_batches`` time is counted for batch_size samples a step, whether a client has as many or not (FedScale does).
    """

    bytes_down: int
    bytes_up: int
    batch_size: int
    epochs: int | None
    local_steps: int | None
    inferences_per_sample: float = TRAINING_PER_INFERENCE
    bits_per_kbit: float = 1000.0
    full_batches: bool = False
    drop_last: bool = False

    def _epoch_steps(self, samples: np.ndarray) -> np.ndarray:
        """The steps of an epoch, int64."""
        if self.drop_last:
            return np.maximum(1, samples // self.batch_size)
        return -(-samples // self.batch_size)

    def _epoch_samples(self, samples: np.ndarray) -> np.ndarray:
        """The samples that an epoch goes through, int64."""
        if self.drop_last:
            return np.where(samples < self.batch_size, samples, samples - samples % self.batch_size)
        return samples

    def steps(self, samples: np.ndarray) -> np.ndarray:
        """SGD steps of clients with ``samples`` (int64) samples, int64."""
        if self.local_steps is not None:
            return np.full(len(samples), self.local_steps, np.int64)
        assert self.epochs is not None
        return self.epochs * self._epoch_steps(samples)

    def processed(self, samples: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Samples that ``steps`` steps go through, int64: whole epochs, and what the steps begun since hold."""
        epochs, rest = np.divmod(steps, self._epoch_steps(samples))
        return epochs * self._epoch_samples(samples) + rest * self.batch_size

    def costed(self, processed: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The samples that cost time, int64, of participants that go through ``processed`` samples in ``steps`` steps."""
        return steps * self.batch_size if self.full_batches else processed

    def steps_within(self, samples: np.ndarray, budget: np.ndarray) -> np.ndarray:
        """The most steps, int64, that go through no more than ``budget`` (int64, >= 0) samples, and no more than planned."""
        if self.full_batches:
            return np.minimum(self.steps(samples), budget // self.batch_size)
        epochs, rest = np.divmod(budget, self._epoch_samples(samples))
        return np.minimum(
            self.steps(samples), epochs * self._epoch_steps(samples) + rest // self.batch_size
        )
