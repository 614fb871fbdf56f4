"""Participations against lists of rounds, and as a checkpoint has them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpifl.privacy.participations import Participations
from tests.budget import examples

ROUNDS = st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=12)
"""Of each round the clients that take part; one that is named twice takes part twice."""
NEAR = 2


def joined(before: int, now: int) -> bool:
    return now - before < NEAR


def sum_of_squares(rounds: list[int]) -> int:
    """A client's rounds, cut where two do not count together: the squares of the lengths."""
    cuts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(rounds)) if b - a >= NEAR), len(rounds)]
    return sum((stop - start) ** 2 for start, stop in pairwise(cuts))


@examples(80)
@given(ROUNDS)
def test_most_is_the_largest_sum_of_squares_also_from_a_checkpoint(rounds: list[list[int]]) -> None:
    whole = Participations()
    resumed = Participations()
    history: dict[int, list[int]] = {}
    for number, clients in enumerate(rounds, 1):
        for client in clients:
            history.setdefault(client, []).append(number)
        for state in (whole, resumed):
            state.add(state.after(np.array(clients, np.int64), number, joined))
        assert whole.most == max(map(sum_of_squares, history.values()), default=0)
        table = resumed.table()
        assert table["client"].tolist() == sorted(history)
        resumed = Participations.of(table)
        assert resumed == whole
