"""Classes that the source numbers, and classes that it names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.datasets.importers.numbered import Named, Numbered, classes_of_texts, whole_numbers
from mpifl.errors import InputError


@pytest.mark.parametrize(
    "labels", [[0, 2, 1], [0.0, 2.0, 1.0], np.array([[0], [2], [1]]), np.array([0, 2, 1], np.uint8)]
)
def test_whole_numbers_of_any_type(labels: Any) -> None:
    found = whole_numbers(labels, "here")
    assert found.tolist() == [0, 2, 1]
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    "labels",
    [
        [0, 0.5],
        [0, float("nan")],
        [0, float("inf")],
        [0, True],
        [0, None],
        [0, "1"],
        [0, [1]],
        [0, 1e300],
        [0, 2**70],
        np.array([[0, 1]]),
        np.array([True]),
        np.array(["a"]),
        np.array([2**63], np.uint64),
    ],
    ids=str,
)
def test_what_is_no_whole_number_is_refused(labels: Any) -> None:
    with pytest.raises(InputError, match=r"^here"):
        whole_numbers(labels, "here")


def test_train_tells_how_many_classes_there_are() -> None:
    classes = Numbered()
    classes.check("train", [0, 1], "a")
    classes.check("train", [3], "b")
    assert classes.outputs == 4
    assert classes.check("test", [2, 3], "c").tolist() == [2, 3]
    with pytest.raises(
        InputError, match=r"^d, sample 1: label 4; allowed: 0 to 3, those of the train part$"
    ):
        classes.check("test", [0, 4], "d")
    with pytest.raises(InputError, match=r"label -1; allowed: whole numbers from 0 on$"):
        classes.check("train", [-1], "e")


def test_ids_are_no_classes() -> None:
    with pytest.raises(InputError, match=r"^a, sample 1: label 10000000; .* below 10000000$"):
        Numbered().check("train", [1, 10_000_000, 3], "a")
    assert classes_of_texts({"7", "10000000"}).outputs == 2
    assert classes_of_texts({"7", "12"}).outputs == 13


def test_where_it_is_said_train_has_to_keep_to_it() -> None:
    with pytest.raises(InputError, match=r"^a, sample 1: label 2; allowed: 0 to 1$"):
        Numbered(2).check("train", [1, 2], "a")


def test_names_are_numbered_in_their_order() -> None:
    classes = Named(np.array(block) for block in (["cow", "ant"], ["bee", "cow"]))
    assert (classes.outputs, classes.names.tolist()) == (3, [b"ant", b"bee", b"cow"])
    assert classes.check("test", np.array(["cow", "bee"]), "a").tolist() == [2, 1]
    with pytest.raises(InputError, match=r"^a: label 'fly'"):
        classes.check("test", np.array(["cow", "fly"]), "a")
