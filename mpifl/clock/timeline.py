"""What a round policy answers: who did what when, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np

from mpifl.clock.kernels.flow import FLOW
from mpifl.clock.workload import Workload
from mpifl.population.population import Population

Choose = Callable[[float, int, int, np.ndarray], np.ndarray]
"""(now, wanted, draw, busy) -> clients (int64) that are online now and not in ``busy`` (int64, sorted), at most ``wanted``,
without repeats; of one ``draw`` always the same ones in the same order, more of them when more are wanted."""


class Outcome(IntEnum):
    """How a participant ended. The numbers stand in run.h5."""

    COMPLETED = 0
    DROPPED = 1  # went offline before it had finished
    CUT = 2  # the round ended before it had finished, or with as many updates as it needed
    STALE = 3  # finished, but the model had moved on by more versions than are allowed
    FAILED = 4  # its training raised an error, and runtime.on_client_error is drop


PARTICIPANT = np.dtype(
    [
        ("client", "<i8"),
        ("outcome", "<u1"),
        ("base", "<i4"),  # the model version that it trained from
        ("staleness", "<i4"),  # versions that the model had moved on by when its update counted
        ("factor", "<f8"),  # what its weight is multiplied with, for its staleness
        ("start_seconds", "<f8"),
        ("download_seconds", "<f8"),
        ("compute_seconds", "<f8"),
        ("upload_seconds", "<f8"),
        ("stop_seconds", "<f8"),  # when it finished, dropped out or was cut
        ("steps", "<i8"),
        ("samples", "<i8"),
        ("bytes_down", "<i8"),  # that went over the air by then
        ("bytes_up", "<i8"),
        ("joules", "<f8"),  # of computing and of the radio, by then
    ]
)
"""One participant; seconds of virtual time, those of download, compute and upload being what each takes when undisturbed: by
the round's end, by going offline for good, and by others that share the server's bandwidth."""


@dataclass(frozen=True)
class Timeline:
    """A round. ``participants`` (structured PARTICIPANT) are those who ended in it.

    They stand in the order in which they were asked or, where they begin at different times, in which they ended.
    ``waited_seconds`` passed because nobody was online: before ``start_seconds`` when all begin together, else in the round.
    """

    start_seconds: float
    end_seconds: float
    waited_seconds: float
    participants: np.ndarray

    def count(self, outcome: Outcome) -> int:
        """How many participants ended so."""
        return int(np.count_nonzero(self.participants["outcome"] == outcome))


@dataclass(frozen=True)
class ClockState:
    """What the clock carries from round to round: the virtual time, the model's version, and who is still under way.

    ``flights`` (structured PARTICIPANT) were asked and have not ended; their outcome is COMPLETED or DROPPED, whichever it
    will be if nothing ends them before ``stop_seconds``. ``draws`` counts those made, so that each has a generator of its own.
    They are in the order in which they stop, of equals the smaller client first. Where a server's bandwidth is shared they are
    in the order of the clients, ``flows`` (structured FLOW, one for each flight) say how far they are, and outcome and
    stop_seconds are what they would be without the others.
    """

    now: float = 0.0
    version: int = 0
    draws: int = 0
    flights: np.ndarray = field(default_factory=lambda: np.empty(0, PARTICIPANT))
    flows: np.ndarray = field(default_factory=lambda: np.empty(0, FLOW))

    @cached_property
    def clients(self) -> np.ndarray:
        """Who is under way, int64, sorted."""
        return np.sort(self.flights["client"])

    def of_clients(self, clients: np.ndarray) -> ClockState:
        """This state, whose ``clients`` are known already: sorting them takes longer than all else that grows with them."""
        vars(self)["clients"] = clients
        return self


@dataclass(frozen=True)
class Call:
    """What a round policy is asked for: a round of ``participants`` updates of this work, by clients of this population."""

    participants: int
    choose: Choose
    population: Population
    workload: Workload
