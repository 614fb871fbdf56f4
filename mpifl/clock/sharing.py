"""Participants that begin together and share a bandwidth: the server's, or that of their cell."""

from __future__ import annotations

import math

import numpy as np

from mpifl.clock.kernels.fair_share import open_link
from mpifl.clock.kernels.flow import DONE, FLOW
from mpifl.clock.kernels.link_flows import left_behind
from mpifl.clock.kernels.server_link import advance, join
from mpifl.clock.kernels.transfer import Loads
from mpifl.clock.latency import Latency, loads, rates
from mpifl.clock.timeline import Call, Outcome

Limits = tuple[float | None, float | None]
"""What all downloads, and all uploads, on a link share, kbit/s; None: no limit."""


def flows_of(
    latency: Latency, rule: int, call: Call, rows: np.ndarray, wanted: int, until: float
) -> np.ndarray:
    """Return how far participants are (n,), structured FLOW, when ``wanted`` have finished.

    Or when all have stopped, or at ``until``, whichever is first.
    """
    cells = latency.cells
    if not cells.shared:
        server = (latency.server_down_kbps, latency.server_up_kbps)
        return _on_link(latency, rule, call, rows, server, wanted, until)

    limits = (cells.down_kbps, cells.up_kbps)
    cell = cells.of(np.ascontiguousarray(rows["client"]), call.seed)
    flows = _in_cells(latency, rule, call, rows, cell, limits, until)
    finishes = np.sort(flows["stop"][flows["stage"] == DONE])
    if len(finishes) < wanted or finishes[wanted - 1] >= until:
        return flows
    # How far the others are when the last of those wanted finishes.
    return _in_cells(latency, rule, call, rows, cell, limits, float(finishes[wanted - 1]))


def _in_cells(
    latency: Latency,
    rule: int,
    call: Call,
    rows: np.ndarray,
    cell: np.ndarray,
    limits: Limits,
    until: float,
) -> np.ndarray:
    """Return how far participants are at ``until``; each ``cell`` (n,) has a link of its own."""
    flows = np.empty(len(rows), FLOW)
    order = np.argsort(cell, kind="stable")
    borders = np.flatnonzero(np.diff(cell[order])) + 1
    for places in np.split(order, borders):
        some = rows[places]
        flows[places] = _on_link(latency, rule, call, some, limits, len(some), until)
    return flows


def _on_link(
    latency: Latency,
    rule: int,
    call: Call,
    rows: np.ndarray,
    limits: Limits,
    wanted: int,
    until: float,
) -> np.ndarray:
    """Return how far participants on one link are; see ``flows_of``."""
    phones = call.population.phones
    link = open_link(*limits, len(rows), float(rows["start_seconds"][0]))
    join(link, phones, rates(latency, call), np.arange(len(rows)), *to_join(rows))
    awaited = int(np.count_nonzero(np.isfinite(rows["stop_seconds"])))
    advance(link, phones, rule, rates(latency, call), until, wanted, awaited)
    return left_behind(link)


def to_join(
    rows: np.ndarray,
) -> tuple[np.ndarray, Loads, np.ndarray, np.ndarray, np.ndarray]:
    """Return what ``join`` takes of participants as launched.

    Client, what it has to transfer, start, seconds of training, and the end if each had the
    server's link to itself (infinity for who would drop out), each (n,).
    """
    completes = rows["outcome"] == Outcome.COMPLETED
    alone = np.where(completes, rows["stop_seconds"], math.inf)
    client = np.ascontiguousarray(rows["client"])
    start = np.ascontiguousarray(rows["start_seconds"])
    compute = np.ascontiguousarray(rows["compute_seconds"])
    return client, loads(rows), start, compute, alone
