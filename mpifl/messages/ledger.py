"""What happened between the ends of two rounds: the clients' rows, and counts of messages."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpifl.clock.kernels.progress import joules
from mpifl.clock.timeline import PARTICIPANT, Outcome, Timeline
from mpifl.population.population import Population
from mpifl.rounds.plan.round_result import MEASURED, MESSAGES, METRIC


@dataclass
class Row:
    """What one client did for a round; seconds are virtual."""

    start: float
    stop: float
    down_seconds: float = 0.0
    compute_seconds: float = 0.0
    up_seconds: float = 0.0
    steps: int = 0
    samples: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    trained: int = 0
    broken: int = 0
    loss: float = math.nan

    def joined(self, later: Row) -> Row:
        """Return one row for what this one and a later one say."""
        sums = {name: getattr(self, name) + getattr(later, name) for name in SUMMED}
        loss = later.loss if later.trained else self.loss
        return Row(
            start=min(self.start, later.start), stop=max(self.stop, later.stop), loss=loss, **sums
        )


SUMMED = tuple(name for name in Row.__dataclass_fields__ if name not in ("start", "stop", "loss"))
"""The fields of a row that add up."""


@dataclass
class Counts:
    """Messages since the last end of a round: how many were sent, and what became of them."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    refused: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Closed:
    """A round that is over.

    Attributes:
        began: When the round before ended.
        ended: When it ended.
        rows: What each client did for it, by client.
        counts: The messages from ``began`` to ``ended``.
    """

    began: float
    ended: float
    rows: dict[int, Row]
    counts: Counts


@dataclass
class Ledger:
    """What clients have done for rounds that are not over, and the counts of messages.

    Attributes:
        began: When the last round ended.
        rows: The rows by round and client.
        counts: The messages since then.
    """

    began: float = 0.0
    rows: dict[tuple[int, int], Row] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    def row(self, round_number: int, client: int, begin: float, end: float) -> Row:
        """Return a client's row, which something from ``begin`` to ``end`` is added to."""
        row = self.rows.get((round_number, client))
        if row is None:
            row = self.rows[round_number, client] = Row(begin, end)
        row.stop = end
        return row

    def close(self, round_number: int, now: float) -> Closed:
        """End a round; return what clients did for it, or later for rounds before it."""
        over = [key for key in self.rows if key[0] <= round_number]
        by_client: dict[int, Row] = {}
        for key in sorted(over):
            row = self.rows.pop(key)
            before = by_client.get(key[1])
            by_client[key[1]] = row if before is None else before.joined(row)
        closed = Closed(self.began, now, dict(sorted(by_client.items())), self.counts)
        self.began = now
        self.counts = Counts()
        return closed

    def json(self) -> list[Any]:
        """Return it for JSON."""
        rows = [[*key, list(vars(row).values())] for key, row in self.rows.items()]
        return [self.began, rows, list(vars(self.counts).values())]

    @staticmethod
    def of(json: list[Any]) -> Ledger:
        """Return what ``json`` has made."""
        began, rows, counts = json
        by_key = {(number, client): Row(*row) for number, client, row in rows}
        return Ledger(began, by_key, Counts(*counts))


def timeline_of(closed: Closed, version: int, population: Population) -> Timeline:
    """Return a round that is over, with a participant for every row.

    A client whose training ended in it has completed it; one whose training broke off because it
    went offline has dropped out; others are under way, and count as cut.
    """
    clients = np.array(list(closed.rows), np.int64)
    kept = list(closed.rows.values())
    rows = np.zeros(len(kept), PARTICIPANT)
    rows["client"] = clients
    rows["base"] = version
    rows["factor"] = 1.0
    rows["compute_factor"] = 1.0
    rows["bandwidth_factor"] = 1.0
    for name, column in COLUMNS.items():
        rows[column] = [getattr(row, name) for row in kept]
    rows["load_down"] = rows["bytes_down"]
    rows["load_up"] = rows["bytes_up"]

    trained = np.array([row.trained > 0 for row in kept], bool)
    broken = np.array([row.broken > 0 for row in kept], bool)
    rows["outcome"] = np.where(
        trained, Outcome.COMPLETED, np.where(broken, Outcome.DROPPED, Outcome.CUT)
    )
    computing = np.ascontiguousarray(rows["compute_seconds"])
    down = np.ascontiguousarray(rows["bytes_down"])
    up = np.ascontiguousarray(rows["bytes_up"])
    if len(rows):
        rows["joules"] = joules(population.phones, clients, computing, down, up)
    return Timeline(closed.began, closed.ended, 0.0, rows)


COLUMNS = {
    "start": "start_seconds",
    "stop": "stop_seconds",
    "down_seconds": "download_seconds",
    "compute_seconds": "compute_seconds",
    "up_seconds": "upload_seconds",
    "steps": "steps",
    "samples": "samples",
    "bytes_down": "bytes_down",
    "bytes_up": "bytes_up",
}
"""The column of a participant in which each field of a Row is."""


def metrics_of(closed: Closed, round_number: int) -> np.ndarray:
    """Return the metrics (structured METRIC) of the clients that have completed a round, sorted."""
    done = {client: row for client, row in closed.rows.items() if row.trained}
    metrics = np.zeros(len(done), METRIC)
    metrics["round"] = round_number
    metrics["client"] = list(done)
    metrics["steps"] = [row.steps for row in done.values()]
    for name in MEASURED:
        metrics[name] = np.nan
    metrics["loss"] = [row.loss for row in done.values()]
    return metrics


def messages_of(closed: Closed, round_number: int, distance: float) -> np.ndarray:
    """Return the row (structured MESSAGES, an array of one) of a round."""
    counts = closed.counts
    row = np.zeros(1, MESSAGES)
    row["round"] = round_number
    for name, count in vars(counts).items():
        row[name] = count
    row["distance"] = distance
    return row
