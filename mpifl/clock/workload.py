"""A participant's work, in numbers that cost time: bytes, steps, samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRAINING_PER_INFERENCE = 3.0
"""Inferences that one training sample costs: a forward pass, and a backward pass of twice that.

The figure of FedScale, client_metadata.py."""


@dataclass(frozen=True)
class Workload:
    """Bytes sent down and up, and minibatch SGD for ``epochs`` or for ``local_steps``.

    One of the two is None. An epoch of n samples has ceil(n / batch_size) steps, the last of which
    may be smaller. With ``drop_last`` it has floor(n / batch_size) full steps; a client with fewer
    samples than batch_size has one step with all of them. local_steps go on into further epochs,
    each in its own order.

    A training sample costs as much time as ``inferences_per_sample`` samples of the trace's own
    measure. With ``full_batches`` every step costs batch_size samples, even if the client has fewer
    (as in FedScale).
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
        """Return the steps of an epoch, int64."""
        if self.drop_last:
            return np.maximum(1, samples // self.batch_size)
        return -(-samples // self.batch_size)

    def _epoch_samples(self, samples: np.ndarray) -> np.ndarray:
        """Return the samples that an epoch goes through, int64."""
        if self.drop_last:
            return np.where(samples < self.batch_size, samples, samples - samples % self.batch_size)
        return samples

    def steps(self, samples: np.ndarray) -> np.ndarray:
        """Return the SGD steps, int64, of clients with ``samples`` (int64) samples."""
        if self.local_steps is not None:
            return np.full(len(samples), self.local_steps, np.int64)
        assert self.epochs is not None
        return self.epochs * self._epoch_steps(samples)

    def processed(self, samples: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the samples, int64, that ``steps`` steps go through.

        They are those of whole epochs, and batch_size for each step after the last whole epoch.
        """
        epochs, rest = np.divmod(steps, self._epoch_steps(samples))
        return epochs * self._epoch_samples(samples) + rest * self.batch_size

    def costed(self, processed: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the samples, int64, that cost time.

        Of participants that go through ``processed`` samples in ``steps`` steps.
        """
        return steps * self.batch_size if self.full_batches else processed

    def steps_within(self, samples: np.ndarray, budget: np.ndarray) -> np.ndarray:
        """Return the most steps, int64, that go through no more than ``budget`` samples.

        ``budget`` is int64, >= 0. The result is never more than the steps planned.
        """
        planned = self.steps(samples)
        if self.full_batches:
            return np.minimum(planned, budget // self.batch_size)
        epochs, rest = np.divmod(budget, self._epoch_samples(samples))
        steps = epochs * self._epoch_steps(samples) + rest // self.batch_size
        return np.minimum(planned, steps)
