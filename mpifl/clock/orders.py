"""What participants are told to do: their local steps, and how much of an upload they send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpifl.clock.workload import Workload


@dataclass(frozen=True)
class Orders:
    """What a selection rule tells those that begin together, each with a place in the arrays.

    Attributes:
        steps: Their local steps (n,) int64, at least 1; None: as many as the job says.
        sent: The shares (n,) float64, above 0 and at most 1, of what they would upload that they
            send; None: all of it.
    """

    steps: np.ndarray | None = None
    sent: np.ndarray | None = None

    def give(self, rows: np.ndarray, workload: Workload) -> None:
        """Set steps, share sent and bytes to send of participants (n,) in place."""
        if self.steps is not None:
            rows["steps"] = self.steps
        if self.sent is not None:
            rows["sent"] = self.sent
            rows["load_up"] = workload.part_of_upload(rows["load_up"], self.sent)


Order = Callable[[np.ndarray, float, int], Orders]
"""(clients, now, draw) -> what those clients (n,) int64 that begin at ``now`` are to do."""
