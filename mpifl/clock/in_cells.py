"""Participants under way whose transfers share the bandwidth of their cells.

Each cell is a link of its own, which stands at the moment at which somebody last began or stopped
there. How it goes on until its next stop is worked out ahead, and again when somebody joins.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from mpifl.clock.in_flight import COMPLETED, DROPPED
from mpifl.clock.kernels.fair_share import Link, open_link
from mpifl.clock.kernels.flow import DONE, FLOW
from mpifl.clock.kernels.link_flows import left_behind, take_up
from mpifl.clock.kernels.server_link import advance, join
from mpifl.clock.latency import rates
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.possible import nobody_ever
from mpifl.clock.sharing import to_join
from mpifl.clock.timeline import PARTICIPANT, Call, ClockState


@dataclass
class Cell:
    """Participants ``rows`` and ``flows`` (n,) of cell ``number`` at ``now``; none has stopped.

    ``ahead`` is their link at ``next_stop``, the moment at which the next of them stops; infinity
    where none does.
    """

    number: int
    rows: np.ndarray
    flows: np.ndarray
    now: float
    ahead: Link | None = None
    next_stop: float = math.inf


class InCells:
    """Participants that share the bandwidth of their cells; the same methods as Independent."""

    def __init__(self, policy: RoundPolicy, call: Call, state: ClockState) -> None:
        cells = policy.latency.cells
        self._call = call
        self._of = cells
        self._limits = (cells.down_kbps, cells.up_kbps)
        self._rule = policy.rule
        self._rates = rates(policy.latency, call)
        self._cells: dict[int, Cell] = {}
        self._count = len(state.flights)
        self._landed: list[np.void] = []

        # A heap of (next stop, cell), also of such that are no longer: a cell knows its own.
        self._next_stops: list[tuple[float, int]] = []

        # A heap of (stop, client, row, flow): those who have stopped and not landed yet.
        self._stopped: list[tuple[float, int, np.void, np.void]] = []
        for number, places in self._by_cell(state.flights["client"]):
            cell = Cell(number, state.flights[places], state.flows[places], state.now)
            self._cells[number] = cell
            self._take_stopped(cell)
            self._look_ahead(cell)

    def __len__(self) -> int:
        return self._count

    @property
    def stuck(self) -> bool:
        """Whether none of them ever stops."""
        return not self._stopped and math.isinf(self._next())

    @property
    def hopeful(self) -> bool:
        """Whether any of them would finish if it had its cell to itself."""
        rows = np.concatenate([np.empty(0, PARTICIPANT), *(c.rows for c in self._cells.values())])
        return bool(((rows["outcome"] == COMPLETED) & (rows["stop_seconds"] < math.inf)).any())

    @property
    def next_stop(self) -> float:
        """Infinity: when the next of them stops depends on who else begins."""
        return math.inf

    @property
    def flows(self) -> np.ndarray:
        """How far those were who landed (n,), structured FLOW, in the order of landing."""
        return np.array(self._landed, FLOW)

    def add(self, rows: np.ndarray) -> None:
        """Add participants (n,), structured PARTICIPANT, as launched."""
        self._count += len(rows)
        for start in np.unique(rows["start_seconds"]).tolist():
            beginning = rows[rows["start_seconds"] == start]
            for number, places in self._by_cell(beginning["client"]):
                self._join(number, beginning[places], start)

    def land(self, until: float) -> np.void | None:
        """Remove and return the participant that stops next; None if nobody stops by ``until``.

        Raises InputError when ``until`` is infinity and nobody ever stops.
        """
        moment = min(self._next(), self._stopped[0][0] if self._stopped else math.inf)
        if moment > until:
            return None
        if math.isinf(moment):
            raise nobody_ever(len(self))
        while self._next() <= moment:
            self._go_ahead(self._cells[self._next_stops[0][1]])

        stop, _, row, flow = heapq.heappop(self._stopped)
        self._count -= 1
        row["stop_seconds"] = stop
        row["outcome"] = COMPLETED if flow["stage"] == DONE else DROPPED
        self._landed.append(flow)
        return row

    def rest(self, end: float) -> tuple[np.ndarray, np.ndarray]:
        """Return those still under way at ``end``, and their flows, for the next round's state."""
        for cell in self._cells.values():
            self._advance(cell, end)
        cells = self._cells.values()
        rows = np.concatenate(
            [
                np.array([row for _, _, row, _ in self._stopped], PARTICIPANT),
                *(cell.rows for cell in cells),
            ]
        )
        flows = np.concatenate(
            [np.array([flow for *_, flow in self._stopped], FLOW), *(cell.flows for cell in cells)]
        )
        order = np.argsort(rows["client"], kind="stable")
        return rows[order], flows[order]

    def _next(self) -> float:
        """Return the moment of the next stop in any cell."""
        stops = self._next_stops
        while stops and stops[0][0] != self._cells[stops[0][1]].next_stop:
            heapq.heappop(stops)
        return stops[0][0] if stops else math.inf

    def _by_cell(self, clients: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Return the places of some clients (n,) by the cells that they are in."""
        if not len(clients):
            return []
        numbers, which = np.unique(
            self._of.of(np.ascontiguousarray(clients), self._call.seed), return_inverse=True
        )
        return [(int(n), np.flatnonzero(which == i)) for i, n in enumerate(numbers)]

    def _join(self, number: int, rows: np.ndarray, start: float) -> None:
        """Let participants begin in a cell at ``start``."""
        cell = self._cells.setdefault(number, Cell(number, rows[:0], np.empty(0, FLOW), start))
        self._advance(cell, start)
        before = len(cell.rows)
        link = self._open(cell, before + len(rows))
        phones = self._call.population.phones
        join(link, phones, self._rates, before + np.arange(len(rows)), *to_join(rows))
        cell.flows = left_behind(link)
        cell.rows = np.concatenate([cell.rows, rows])
        self._look_ahead(cell)

    def _open(self, cell: Cell, room: int) -> Link:
        """Return the link of a cell at its moment, with its participants as the first of it."""
        link = open_link(*self._limits, room, cell.now)
        take_up(link, cell.flows)
        return link

    def _advance(self, cell: Cell, moment: float) -> None:
        """Let time pass in a cell until ``moment``, which is not after its next stop."""
        if moment > cell.now and len(cell.rows):
            link = self._open(cell, len(cell.rows))
            everyone = len(cell.rows) + 1
            phones = self._call.population.phones
            advance(link, phones, self._rule, self._rates, moment, everyone, everyone)
            cell.flows = left_behind(link)
            self._take_stopped(cell, moment)
        cell.now = max(cell.now, moment)

    def _look_ahead(self, cell: Cell) -> None:
        """Work out when the next participant of a cell stops, if nobody joins them."""
        cell.ahead, cell.next_stop = None, math.inf
        if not (cell.rows["stop_seconds"] < math.inf).any():
            return
        cell.ahead = self._open(cell, len(cell.rows))
        phones = self._call.population.phones
        advance(cell.ahead, phones, self._rule, self._rates, math.inf, 1, 1)
        stopped = cell.ahead.stopped[: cell.ahead.stops[0]]
        cell.next_stop = float(cell.ahead.flows["stop"][stopped].min(initial=math.inf))
        if cell.next_stop < math.inf:
            heapq.heappush(self._next_stops, (cell.next_stop, cell.number))

    def _go_ahead(self, cell: Cell) -> None:
        """Move a cell to its next stop."""
        assert cell.ahead is not None
        cell.flows = left_behind(cell.ahead)
        cell.now = float(cell.ahead.now[0])
        self._take_stopped(cell)
        self._look_ahead(cell)

    def _take_stopped(self, cell: Cell, latest: float = math.inf) -> None:
        """Put those of a cell that have stopped, by ``latest``, on the heap."""
        stopped = cell.flows["stop"] < math.inf
        for place in np.flatnonzero(stopped).tolist():
            flow = cell.flows[place].copy()
            stop = min(float(flow["stop"]), latest)
            entry = (stop, int(flow["client"]), cell.rows[place].copy(), flow)
            heapq.heappush(self._stopped, entry)
        cell.rows = cell.rows[~stopped]
        cell.flows = cell.flows[~stopped]
