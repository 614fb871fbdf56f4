"""What the round loop calls while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mpifl.rounds.plan.round_result import RoundResult
from mpifl.rounds.plan.snapshot import Snapshot


class Checkpoints(Protocol):
    """Where snapshots of the run go (``mpifl/state/checkpoint.py``)."""

    @property
    def oldest(self) -> int:
        """The round of the oldest snapshot that is kept; 0 where there is none."""

    def due(self, rounds_done: int, last: bool = False) -> bool:
        """Return whether a snapshot is to be saved after this round, the ``last`` one or not."""

    def save(self, snapshot: Snapshot) -> None:
        """Save a snapshot."""


@dataclass(frozen=True)
class RunCallbacks:
    """``snapshot`` is the run so far. ``ended_round`` is called with each round once it is tested.

    ``stop`` returns whether the run is to end early, to be resumed. ``met`` returns whether the
    rounds that were reported meet the job's ``stop``: then the newest of them is the last.
    """

    snapshot: Snapshot
    ended_round: Callable[[RoundResult], None]
    checkpoints: Checkpoints
    stop: Callable[[], bool]
    met: Callable[[], bool] = lambda: False
