"""The words in which a run is told of: long lines are folded where a reader would break them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.record.wording import folded
from tests.budget import examples

WORDS = st.sampled_from(
    ["508.1 MB,", "of", "19.2 MB", "broadcast", "2%;", "1,300 participants:", "x" * 90, "", "(a)"]
)


@examples(200)
@given(st.lists(WORDS, min_size=1, max_size=40))
def test_nothing_is_lost_and_no_number_is_cut_off(parts: list[str]) -> None:
    line = " ".join(parts)
    first, *rest = folded(line)
    assert all(one.startswith("  ") for one in rest)
    assert " ".join([first, *(one[2:] for one in rest)]) == line
    assert not any(re.search(r"\d$", one) for one in [first, *rest][:-1])
    # Longer than a terminal is wide is only what cannot be broken.
    assert all(len(one) <= 80 or re.fullmatch(r"(  )?x{90}", one) for one in [first, *rest])


@pytest.mark.parametrize("length", [1, 79, 80])
def test_what_fits_is_one_line(length: int) -> None:
    line = "ab " * 40
    assert folded(line[:length]) == [line[:length]]


def test_a_line_ends_behind_a_comma_rather_than_behind_a_word() -> None:
    line = "time: clock 50%, start 29%, selection 13%, training 4%, evaluation broadcast 12% of all"
    assert folded(line) == [
        "time: clock 50%, start 29%, selection 13%, training 4%,",
        "  evaluation broadcast 12% of all",
    ]
    assert folded("a, " + "word " * 17)[0] == "a, " + " ".join(["word"] * 15)
