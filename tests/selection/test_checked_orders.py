"""What a selection rule orders is checked where it enters the plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.clock.orders import Orders
from mpifl.errors import TrainingError
from mpifl.selection.checked_orders import checked_orders

HALF = np.full(2, 0.5)


def test_what_is_allowed_passes_as_whole_numbers_and_shares() -> None:
    orders = checked_orders(
        "mine", Orders(np.array([1, 7], np.int8), HALF), 2, steps=True, uploads=True
    )
    assert orders.steps is not None
    assert orders.sent is not None
    assert orders.steps.dtype == np.int64
    assert orders.sent.dtype == np.float64
    assert (orders.steps.tolist(), orders.sent.tolist()) == ([1, 7], [0.5, 0.5])


@pytest.mark.parametrize(
    ("orders", "steps", "uploads", "said"),
    [
        (None, True, False, "returned NoneType; expected Orders"),
        (Orders(), True, False, "returned Orders that lacks steps"),
        (Orders(np.array([1, 1]), HALF), True, False, "returned Orders that has sent"),
        (Orders(np.array([1, 1, 1])), True, False, "expected int64 (2,)"),
        (Orders(np.array([1.5, 2.0])), True, False, "returned steps of float64 (2,)"),
        (Orders(np.array([1, 0])), True, False, "ordered 0 as the steps of the participant at 1"),
        (Orders(None, np.array([1, 1])), False, True, "expected float64 (2,)"),
        (Orders(None, np.array([0.5, 0.0])), False, True, "a share of 0 of the upload"),
        (Orders(None, np.array([1.5, 0.5])), False, True, "a share of 1.5 of the upload"),
        (Orders(None, np.array([0.5, np.nan])), False, True, "a share of nan of the upload"),
    ],
)
def test_anything_else_is_an_error_that_names_the_rule(
    orders: Any, steps: bool, uploads: bool, said: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        checked_orders("mine", orders, 2, steps=steps, uploads=uploads)
    assert str(caught.value).startswith("selection.name: 'mine': its method orders")
    assert said in str(caught.value)
