"""A table of clients in the state of a selection rule: columns of the same length, by client."""

from __future__ import annotations

import numpy as np

from mpifl.selection.feedback import State


def rows_of(known: np.ndarray, clients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of ``clients`` (n,) are in ``known`` (int64, sorted), and where.

    The second array is (n,) int64, with no meaning where the first is false, but always a place of
    ``known`` if there is any.
    """
    place = np.minimum(np.searchsorted(known, clients), max(0, len(known) - 1))
    if not len(known):
        return np.zeros(len(clients), bool), place
    return known[place] == clients, place


def updated(state: State, rows: State) -> State:
    """Return the columns of a table with rows replaced or added.

    Args:
        state: Has the columns of the table, sorted by ``client``; other arrays are left alone.
        rows: The same columns for other clients, each once, in any order.

    Returns:
        The columns, sorted by ``client``.
    """
    clients = rows["client"]
    known, place = rows_of(state["client"], clients)
    new = np.flatnonzero(~known)
    new = new[np.argsort(clients[new])]
    before = np.searchsorted(state["client"], clients[new])

    table = {}
    for name, values in rows.items():
        column = state[name].copy()
        column[place[known]] = values[known]
        table[name] = np.insert(column, before, values[new])
    return table


def looked_up(state: State, name: str, clients: np.ndarray, unknown: float) -> np.ndarray:
    """Return the values (n,) float64 of a column for ``clients``; ``unknown`` for others.

    The columns are sorted by ``client``.
    """
    known, place = rows_of(state["client"], clients)
    values = np.full(len(clients), unknown)
    values[known] = state[name][place[known]]
    return values


def latest(ended: np.ndarray) -> np.ndarray:
    """Return the last row of each client, sorted by client.

    With asynchronous clocks a client that dropped out may have ended more than once in a round.
    """
    _, place = np.unique(ended["client"][::-1], return_index=True)
    return ended[::-1][place]
