"""What a round policy answers: who did what when, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from mpifl.clock.workload import Workload
from mpifl.job.section import Section
from mpifl.population.population import Population

Choose = Callable[[float, int], np.ndarray]
"""(now, wanted) -> clients (int64) that are online now, at most ``wanted``, without repeats."""


class Outcome(IntEnum):
    """How a participant's round ended. The numbers stand in run.h5."""

    COMPLETED = 0
    DROPPED = 1  # went offline before it had finished
    CUT = 2  # the round ended before it had finished


@dataclass(frozen=True)
class Timeline:
    """The participants of a round, in the order asked; arrays (asked,), seconds float64 of virtual time.

    ``waited_seconds`` passed before ``start_seconds`` because nobody was online. ``stop_seconds`` is when a participant
    finished, dropped out or was cut. Bytes are those that went over the air by then.
    """

    start_seconds: float
    end_seconds: float
    waited_seconds: float
    client: np.ndarray
    outcome: np.ndarray
    download_seconds: np.ndarray
    compute_seconds: np.ndarray
    upload_seconds: np.ndarray
    stop_seconds: np.ndarray
    steps: np.ndarray
    samples: np.ndarray
    bytes_down: np.ndarray
    bytes_up: np.ndarray

    def count(self, outcome: Outcome) -> int:
        """How many participants ended so."""
        return int(np.count_nonzero(self.outcome == outcome))


class RoundPolicy(Section):
    """Base of the round policies (``clock.mode``)."""

    mode: str

    def advance(self, now: float, participants: int, choose: Choose, population: Population, workload: Workload) -> Timeline:
        """The next round from virtual second ``now`` on, which is to have ``participants`` updates."""
        raise NotImplementedError
