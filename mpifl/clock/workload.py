"""A participant's work, in numbers that cost time: bytes, steps, samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mpifl.clock.cost import PLANNED, TRAINING_PER_INFERENCE, Cost


@dataclass(frozen=True)
class Workload:
    """Bytes sent down and up, and minibatch SGD for ``epochs`` or for ``local_steps``.

    One of the two is None. An epoch of n samples has ceil(n / batch_size) steps, the last of which
    may be smaller. With ``drop_last`` it has floor(n / batch_size) full steps; a client with fewer
    samples than batch_size has one step with all of them. local_steps go on into further epochs,
    each in its own order.

    A training sample costs as much time as ``inferences_per_sample`` samples of the trace's own
    measure, times ``scale``, which is what the algorithm computes, in multiples of what the model
    does. With ``full_batches`` every step costs batch_size samples, even if the client has fewer
    (as in FedScale). ``cost`` is what the algorithm's client program computes. ``plain_down`` and
    ``plain_up`` are the bytes without the job's ``exchange``, None where it does not change them.
    ``masked_entries`` are the numbers that secure aggregation masks in an upload. ``bytes_of_part``
    says what a share of an upload weighs, where ``exchange.up`` can send a share.
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
    cost: Cost = PLANNED
    plain_down: int | None = None
    plain_up: int | None = None
    masked_entries: int = 0
    bytes_of_part: Callable[[float], int] | None = field(default=None, compare=False)
    scale: float = 1

    @property
    def of_anybody(self) -> Workload:
        """What a round costs whichever client: of a workload that is for some, without theirs."""
        return self

    def of_round(self, round_number: int) -> Workload:
        """Return what a round costs: by default what every one does."""
        return self

    def steps_of_epoch(self, samples: np.ndarray) -> np.ndarray:
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
        return self.epochs * self.steps_of_epoch(samples)

    def processed(self, samples: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the samples, int64, that ``steps`` steps go through.

        They are those of whole epochs, and batch_size for each step after the last whole epoch.
        """
        epochs, rest = np.divmod(steps, self.steps_of_epoch(samples))
        return epochs * self._epoch_samples(samples) + rest * self.batch_size

    def loads(self, clients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bytes (n,) int64 that each of ``clients`` has to receive, and to send.

        A subclass may give each client its own.
        """
        down = np.full(len(clients), self.bytes_down, np.int64)
        return down, np.full(len(clients), self.bytes_up, np.int64)

    def part_of_upload(self, whole: np.ndarray, sent: np.ndarray) -> np.ndarray:
        """Return the bytes (n,) int64 of shares ``sent`` (n,) of uploads of ``whole`` bytes (n,).

        Those who send all of it send ``whole``; so do all, where a share's size is not known before
        it is made.
        """
        if self.bytes_of_part is None:
            return whole
        shares, which = np.unique(sent, return_inverse=True)
        parts = np.array([self.bytes_of_part(share) for share in shares.tolist()], np.int64)
        return np.where(sent == 1, whole, parts[which])

    def compute_scale(self, clients: np.ndarray) -> float | np.ndarray:
        """Return what a sample costs each of ``clients``, as a multiple of what it costs the model.

        ``scale``, or (n,) float64. A subclass may give each client its own, as where clients train
        parts of the model.
        """
        return self.scale

    def costed(
        self, clients: np.ndarray, held: np.ndarray, processed: np.ndarray, steps: np.ndarray
    ) -> np.ndarray:
        """Return the samples that cost time, int64, or float64 where ``cost`` is not plain.

        Of ``clients`` with ``held`` samples that go through ``processed`` samples in ``steps``
        steps of their planned training.
        """
        samples = steps * self.batch_size if self.full_batches else processed
        if not self.cost.plain:
            samples = self.cost.training * samples + self._besides(held)
        return self.compute_scale(clients) * samples

    def _besides(self, held: np.ndarray) -> np.ndarray:
        """Return the training samples (float64) that cost as much as all but the planned steps."""
        extra = np.full(len(held), self.cost.extra_steps, np.int64)
        samples = extra * self.batch_size if self.full_batches else self.processed(held, extra)
        passes = self.cost.gradients + self.cost.evaluations / TRAINING_PER_INFERENCE
        return samples + passes * held + self.cost.public
