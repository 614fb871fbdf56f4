"""The places of a round's sums: every integer belongs to one array of one slot, or to the averages."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mpifl.aggregation.sum_layout import SumLayout, Summed
from tests.budget import examples

SIZES = st.lists(st.integers(1, 5), max_size=4)


@examples(60)
@given(SIZES, st.integers(1, 4), st.integers(0, 6), st.integers(1, 3))
def test_the_sums_fill_the_vector_and_size_counts_all_integers(
    sizes: list[int], slots: int, averaged: int, rounds: int
) -> None:
    arrays = tuple(
        Summed(str(number), (size,), size, 40, slots * sum(sizes[:number]), False)
        for number, size in enumerate(sizes)
    )
    layout = SumLayout(arrays, slots, slots * sum(sizes), averaged)
    places = [array.place(slot) for array in arrays for slot in range(slots)]
    numbers = list(range(layout.total))
    assert [number for place in places for number in numbers[place]] == numbers
    vectors, averages = layout.shapes(rounds)
    assert rounds * layout.size == math.prod(vectors) + math.prod(averages)
    assert (vectors, averages) == ((rounds, layout.total), (rounds, slots, 2, averaged))
