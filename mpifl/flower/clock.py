"""The virtual clock of messages: when a node gets one, has answered it, or has gone offline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mpifl.clock.cost import TRAINING_PER_INFERENCE
from mpifl.clock.kernels.availability import count_online
from mpifl.clock.kernels.latency import AVAILABILITY, Rates, time_participants
from mpifl.clock.kernels.online_patterns import may_be_asked
from mpifl.clock.kernels.progress import joules, progress
from mpifl.clock.kernels.transfer import Loads
from mpifl.clock.online import NOBODY
from mpifl.clock.timeline import Outcome
from mpifl.flower.settings import FlowerSettings
from mpifl.population.build import trace_file
from mpifl.population.phones import Phones
from mpifl.population.population import Population
from mpifl.rounds.plan.plan import ONLINE_SAMPLE
from mpifl.seeds import Purpose, number
from mpifl.traces.trace import Trace, begun_at, open_trace

KBIT = 1000.0

COURSE = np.dtype(
    [
        ("node", "<i8"),  # its partition
        ("start", "<f8"),  # when the node begins with the message
        ("stop", "<f8"),  # when the reply has arrived, or the node went offline
        ("examples", "<i8"),
        ("load_down", "<i8"),  # bytes to transfer
        ("load_up", "<i8"),
        ("bytes_down", "<i8"),  # bytes that went over the air
        ("bytes_up", "<i8"),
        ("download_seconds", "<f8"),
        ("compute_seconds", "<f8"),
        ("upload_seconds", "<f8"),
        ("joules", "<f8"),
        ("outcome", "<u1"),
    ]
)
"""The course of a message at its node. Seconds are virtual."""


@dataclass(frozen=True)
class NodeClock:
    """The devices of a run's nodes; ``content_sha256`` is that of the trace."""

    phones: Phones
    rule: int
    content_sha256: str

    def online(self, nodes: np.ndarray, now: float) -> np.ndarray:
        """Return which of ``nodes`` (n,) int64 are online at a moment, (n,) bool."""
        free: np.ndarray = may_be_asked(self.phones, nodes, now, NOBODY)
        return free

    def count_online(self, nodes: int, key: int, now: float) -> float:
        """Return how many of so many nodes are online at a moment.

        Where they are many it is an estimate from some of them, drawn by ``key``.
        """
        return count_online(self.phones, nodes, key, now, ONLINE_SAMPLE)

    def settle(self, courses: np.ndarray, inferences: np.ndarray) -> None:
        """Set, in place, the seconds, stop, outcome and bytes of courses (n,), structured COURSE.

        Node, start, examples and loads are given.

        Args:
            courses: What nodes do.
            inferences: What one of its examples costs each (n,), in inferences of its device.
        """
        for start in np.unique(courses["start"]):
            together = np.flatnonzero(courses["start"] == start)
            rows = courses[together]
            self._settle_together(rows, inferences[together], float(start))
            courses[together] = rows

    def _settle_together(self, rows: np.ndarray, inferences: np.ndarray, start: float) -> None:
        """Do what ``settle`` does for nodes that begin at the same moment."""
        nodes = np.ascontiguousarray(rows["node"])
        rates = Rates(1.0, KBIT, 0.0, math.inf, 1.0)
        loads = Loads(
            np.ascontiguousarray(rows["load_down"]),
            np.ascontiguousarray(rows["load_up"]),
            np.ones(len(rows)),
            *np.zeros((2, len(rows))),
        )
        work = inferences * rows["examples"]
        seconds, finished = time_participants(
            self.phones, self.rule, nodes, work, loads, rates, start
        )
        # A node that never finishes is given up at once.
        never = np.isinf(seconds[3])
        seconds[3, never] = start
        finished &= ~never

        rows["download_seconds"], rows["compute_seconds"] = seconds[:2]
        rows["upload_seconds"], rows["stop"] = seconds[2:]
        rows["outcome"] = np.where(finished, Outcome.COMPLETED, Outcome.DROPPED)

        span = np.stack([np.full(len(rows), start), seconds[3]])
        sent, computed = progress(
            self.phones, self.rule, rates, nodes, loads, span, seconds[:3].copy(), finished
        )
        rows["bytes_down"], rows["bytes_up"] = sent
        rows["joules"] = joules(self.phones, nodes, computed, *sent)


def inferences_of(message_type: str, epochs: float) -> float:
    """Return what an example of a message costs, in inferences of the device.

    Training costs three, forward and backward, in every epoch; evaluation one; a query nothing.
    """
    category = message_type.partition(".")[0]
    costs = {"train": TRAINING_PER_INFERENCE * epochs, "evaluate": 1.0}
    return costs.get(category, 0.0)


def node_clock(settings: FlowerSettings) -> NodeClock:
    """Return the clock of a run's nodes. Raises InputError for a trace that cannot be used."""
    trace = open_trace(trace_file(settings.trace, None))
    digest = trace.content_sha256
    if settings.start:
        trace = begun_at(trace, settings.start)
    phones = _population(settings, trace).phones
    return NodeClock(phones, AVAILABILITY[settings.availability], digest)


def _population(settings: FlowerSettings, trace: Trace) -> Population:
    return Population(
        settings.supernodes,
        None,
        trace,
        number(settings.seed, Purpose.PHONES),
        settings.availability == "always",
    )
