"""Texts as samples of token ids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.importers.sequences import BEGIN, END, Texts, texts_of, windows
from mpifl.datasets.importers.vocabulary import UNKNOWN, characters


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.integers(1, 70))
def test_windows_predict_each_token_but_the_first_once(ids: list[int], length: int) -> None:
    found = windows(np.array(ids), length)
    assert [token for window in found for token in window[1:].tolist()] == ids[1:]
    assert {len(window) for window in found[:-1]} <= {length + 1}
    assert 2 <= len(found[-1]) <= length + 1
    for before, after in itertools.pairwise(found):
        assert before[-1] == after[0]


def test_without_a_length_a_text_is_whole() -> None:
    assert [one.tolist() for one in windows(np.arange(5), 0)] == [[0, 1, 2, 3, 4]]
    assert [one.tolist() for one in windows(np.arange(1), 3)] == [[0]]


def test_a_text_to_be_predicted_stands_between_two_ids_of_its_own() -> None:
    texts = texts_of(["b a b", "b"], "words", 5, "language", 0)
    assert texts.vocabulary.tokens.tolist() == [UNKNOWN, b"b", b"a", BEGIN, END]
    assert [one.tolist() for one in texts.samples("a c")] == [[3, 2, 0, 4]]
    assert [one.tolist() for one in texts.samples("")] == [[3, 4]]


def test_a_text_to_be_classified_is_cut_and_never_empty() -> None:
    texts = Texts(characters(["abc"]), "classification", 2)
    assert [one.tolist() for one in texts.samples("cab")] == [[3, 1]]
    assert [one.tolist() for one in texts.samples("")] == [[0]]


@pytest.mark.parametrize("count", [250, 254, 255, 260])
def test_ids_have_the_type_that_the_ends_need_too(count: int) -> None:
    """What pads a batch has the id behind the last: it fits as well while there are fewer than 256."""
    texts = texts_of(
        ["".join(chr(0x100 + k) for k in range(count))], "characters", 0, "language", 0
    )
    sample = texts.samples(chr(0x100))[0]
    assert sample.tolist() == [count + 1, 1, count + 2]
    assert sample.dtype == (np.uint8 if count + 3 < 256 else np.int32)


def test_pieces_are_what_white_space_separates() -> None:
    texts = texts_of(
        ["list-comprehension <URL> a", "a  list-comprehension\tA"], "pieces", 4, "classification", 0
    )
    assert texts.vocabulary.tokens.tolist() == [UNKNOWN, b"a", b"list-comprehension", b"<URL>"]
    assert [one.tolist() for one in texts.samples("a list comprehension <URL> <url>")] == [
        [1, 0, 0, 3, 0]
    ]
