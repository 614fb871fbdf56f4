"""Whether the rounds of a run meet its job's ``stop``."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mpifl.job.metrics import lower_is_better
from mpifl.job.stop import Stop


class StopRule:
    """Counts the rounds of a run, one after the other.

    It knows nothing but their /rounds rows, so that a run that is resumed finds the same.

    Attributes:
        met_by: The key of the job that ends the run, such as ``stop.at``; None until one does.
        met_after: The round after which it did.
    """

    def __init__(self, stop: Stop, higher_is_better: Collection[str]) -> None:
        """Begin to count; ``higher_is_better`` is that of the job's objective."""
        self._stop = stop
        lower = stop.metric is not None and lower_is_better(stop.metric, higher_is_better)
        self._sign = -1 if lower else 1
        self._best = -np.inf
        self._without = 0
        self.met_by: str | None = None
        self.met_after: int | None = None

    def add(self, row: np.ndarray) -> None:
        """Count a round: its /rounds row (an array of one)."""
        key = self._met(row)
        if key is not None and self.met_by is None:
            self.met_by = f"stop.{key}"
            self.met_after = int(row["round"][0])

    def _met(self, row: np.ndarray) -> str | None:
        """Return the key that a round meets, if it does."""
        stop = self._stop
        if stop.metric is not None and not np.isnan(row[stop.metric][0]):
            score = self._sign * float(row[stop.metric][0])
            self._count(score)
            if stop.at is not None and score >= self._sign * stop.at:
                return "at"
            if stop.patience is not None and self._without >= stop.patience:
                return "patience"
        return "hours" if stop.out_of_time(float(row["end_seconds"][0])) else None

    def _count(self, score: float) -> None:
        """Count a test: its score, of which more is better."""
        if score > self._best + self._stop.least:
            self._best = score
            self._without = 0
        else:
            self._without += 1
