"""Availability patterns by themselves: what is wrong is named with client and value."""

from __future__ import annotations

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.traces.slots import Slots, check_slots, joined, of_counts, without_empty

NAMES = ["anna", 17, "bo"]


def made(*patterns: list[tuple[float, float]], period: float = 100.0) -> Slots:
    flat = np.array([slot for pattern in patterns for slot in pattern], float).reshape(-1, 2)
    counts = np.array([len(pattern) for pattern in patterns])
    return of_counts(counts, flat[:, 0], flat[:, 1], np.full(len(patterns), period))


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        (
            made([(0, 5)], [(5, 6), (4, 7)]),
            "client 17: slot 1, [4, 7), begins before the slot ahead of it",
        ),
        (
            made([(0, 5)], [(5, 8), (7, 9)]),
            "client 17: slot 1, [7, 9), overlaps the slot ahead of it",
        ),
        (
            made([(0, 5)], [], [(5, 101)]),
            "client bo: slot 0, [5, 101), ends after the period of 100 s",
        ),
        (made([(-1, 5)]), "client anna: slot 0, [-1, 5), begins before 0"),
        (made([(5, 4)]), "client anna: slot 0, [5, 4), runs backwards"),
        (made([(0, 1), (5, float("nan"))]), "client anna: slot 1, [5, nan), is not finite"),
        (made([(0, float("inf"))]), "client anna: slot 0, [0, inf), is not finite"),
        (made([(0, 1)], [(0, 1)], period=0), "client anna: period 0 s"),
        (made([(0, 1)], period=float("nan")), "client anna: period nan s"),
        (made([], []), "no client is ever online"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_trace_may_have_is_named(slots: Slots, said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_slots("x.csv", NAMES, slots)
    assert str(caught.value).startswith(f"x.csv: {said}")


def test_slots_that_touch_and_the_same_times_in_other_patterns_pass() -> None:
    check_slots("x", NAMES, made([(0, 5), (5, 100)], [], [(0, 5)]))


def test_slots_of_no_length_are_dropped_and_nothing_else() -> None:
    kept = without_empty(made([(0, 0), (0, 5), (5, 5)], [(3, 3)], [(7, 9)]))
    assert kept.offsets.tolist() == [0, 1, 1, 2]
    assert kept.start.tolist() == [0, 7]
    assert kept.end.tolist() == [5, 9]
    assert len(kept.period) == 3


def test_parts_are_joined_in_order() -> None:
    whole = joined([made([(0, 1)], []), made([(2, 3), (4, 5)])])
    assert whole.offsets.tolist() == [0, 1, 1, 3]
    assert whole.start.tolist() == [0, 2, 4]
