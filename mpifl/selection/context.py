"""What a selection rule sees when clients are to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mpifl.clock.kernels.online_patterns import joined, may_be_asked
from mpifl.clock.latency import work_seconds
from mpifl.clock.online import NOBODY, online_index
from mpifl.clock.orders import Orders
from mpifl.clock.workload import Workload
from mpifl.population.population import Population
from mpifl.seeds import Purpose, generator, number
from mpifl.selection.feedback import State

PROBED = np.dtype([("client", "<i8"), ("loss", "<f8")])
"""A candidate that was probed, and the mean loss of the model on its training samples."""

NOT_PROBED = np.empty(0, PROBED)


class Launch(Protocol):
    """What becomes of clients that begin now."""

    def __call__(self, clients: np.ndarray, orders: Orders | None = None) -> np.ndarray:
        """Return participants (n,), structured PARTICIPANT, given clients (n,) int64."""


@dataclass(frozen=True)
class SelectionContext:
    """A moment at which clients are to be asked.

    Attributes:
        population: All clients.
        workload: What a participant's round costs.
        launch: Return what would become of clients (n,) that begin now, structured PARTICIPANT,
            by the job's keys or by the Orders given as a second argument.
        seed: The seed of the job.
        round: The number of the round, from 1.
        draw: The number of this draw, from 1: one for each round, or with an asynchronous clock for
            each place that became free. Random numbers are keyed by it.
        now: The virtual second.
        wanted: The most clients to return, at least 1.
        busy: Clients that may not be asked now, int64, sorted: those who are under way, or have
            counted in this round.
        state: What the rule has learned, read-only arrays.
        probed: The candidates of a rule that probes (n,), structured PROBED, as far as they
            answered.
    """

    population: Population
    workload: Workload
    launch: Launch
    seed: int
    round: int
    draw: int
    now: float
    wanted: int
    busy: np.ndarray
    state: State
    probed: np.ndarray = field(default_factory=NOT_PROBED.copy)

    def uniform(self, wanted: int, but: np.ndarray = NOBODY) -> np.ndarray:
        """Return clients that may be asked, drawn uniformly without repeats.

        One draw always gives the same clients in the same order, and more of them when more are
        wanted. It takes O(wanted) time where most clients are online.

        Args:
            wanted: The most clients to return.
            but: Clients to leave out, int64, besides the busy ones.

        Returns:
            At most ``wanted`` clients, int64, in the order drawn.
        """
        out = joined(self.busy, np.sort(but, kind="stable")) if len(but) else self.busy
        key = number(self.seed, Purpose.SELECTION, self.draw)
        return online_index(self.population).draw(key, self.now, wanted, out)

    def may_ask(self, clients: np.ndarray) -> np.ndarray:
        """Return which of ``clients`` (n,) int64 are online and not busy, (n,) bool."""
        return may_be_asked(self.population.phones, clients, self.now, self.busy)

    def seconds(self, clients: np.ndarray) -> np.ndarray:
        """Return the virtual seconds that a round takes each of ``clients`` (n,), undisturbed.

        Download, training and upload from now on, float64.
        """
        return work_seconds(self.launch(clients))

    def random(self, *keys: int) -> np.random.Generator:
        """Return the generator of this draw; another one for every other ``keys``."""
        return generator(self.seed, Purpose.SELECTION, self.draw, *keys)
