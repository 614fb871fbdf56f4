"""One numbering of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.importers.labels import classes_of
from mpifl.errors import InputError

LABELS = st.one_of(
    st.lists(
        st.lists(st.integers(-5, 5), max_size=5).map(lambda found: np.array(found, np.int64)),
        min_size=1,
    ),
    st.lists(
        st.lists(st.sampled_from(["a", "b", "zoë", "long name"]), max_size=5).map(
            lambda found: np.array(found, "U")
        ),
        min_size=1,
    ),
)


@given(LABELS)
def test_numbers_lead_back_to_labels_in_sorted_order(blocks: list[np.ndarray]) -> None:
    classes = classes_of(iter(blocks))
    everything = [label for block in blocks for label in block.tolist()]
    assert classes.values.tolist() == sorted(set(everything))
    if everything:
        for block in blocks:
            assert classes.values[classes.numbers(block, "here")].tolist() == block.tolist()
    assert classes.names.tolist() == [str(label).encode() for label in sorted(set(everything))]


@pytest.mark.parametrize("unknown", [0, 2, 9])
def test_a_label_that_train_has_not_is_named(unknown: int) -> None:
    classes = classes_of([np.array([1, 3])])
    with pytest.raises(
        InputError, match=f"^here: label {unknown} is not among the 2 of the train part"
    ):
        classes.numbers(np.array([1, unknown, 3]), "here")
    with pytest.raises(InputError, match=f"^b: label {unknown} "):
        classes.numbers(np.array([1, unknown, 3]), [Path("a"), Path("b"), Path("c")])
