"""A workload whose transfers differ from round to round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from mpifl.clock.workload import Workload


class Transfers(NamedTuple):
    """The bytes that a participant receives and sends; how many numbers of these are masked."""

    bytes_down: int
    bytes_up: int
    masked_entries: int


@dataclass(frozen=True, kw_only=True)
class WorkloadByRound(Workload):
    """A workload of which every round has its own bytes.

    Attributes:
        transfers_of: Return the transfers of a round, from 1 on. ``bytes_down`` and ``bytes_up``
            are the most of any round.
        round: Which round it is of; 0 while that is open.
    """

    transfers_of: Callable[[int], Transfers] = field(compare=False)
    round: int = 0

    @property
    def of_anybody(self) -> Workload:
        return replace(self, round=0, masked_entries=0)

    def of_round(self, round_number: int) -> Workload:
        masked = self.transfers_of(round_number).masked_entries
        return replace(self, round=round_number, masked_entries=masked)

    def loads(self, clients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bytes (n,) int64 that each client has to receive, and to send."""
        if not self.round:
            return super().loads(clients)
        down, up, _ = self.transfers_of(self.round)
        return np.full(len(clients), down, np.int64), np.full(len(clients), up, np.int64)
