"""The table of clients in a rule's state, against a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpifl.selection.table import rows_of, updated
from tests.budget import examples


def columns(clients: list[int], value: float) -> dict[str, np.ndarray]:
    numbers = np.array(clients, np.int64)
    return {"client": numbers, "worth": numbers + value, "times": numbers * 0 + int(value)}


@examples(100)
@given(rounds=st.lists(st.lists(st.integers(0, 30), unique=True, max_size=12), max_size=6))
def test_rows_are_replaced_or_added_and_found_again(rounds: list[list[int]]) -> None:
    table: dict[int, int] = {}
    state = {**columns([], 0), "other": np.array(5.0)}
    for number, clients in enumerate(rounds, start=1):
        state = {**state, **updated(state, columns(clients, number))}
        table.update(dict.fromkeys(clients, number))

    assert state["client"].tolist() == sorted(table)
    assert state["worth"].tolist() == [client + table[client] for client in sorted(table)]
    assert state["times"].tolist() == [table[client] for client in sorted(table)]
    assert state["times"].dtype == np.int64

    asked = np.arange(31)[::-1]
    known, place = rows_of(state["client"], asked)
    assert known.tolist() == [client in table for client in asked]
    assert state["client"][place[known]].tolist() == asked[known].tolist()
