"""The check of what a selection rule orders, before it enters the plan."""

from __future__ import annotations

import numpy as np

from mpifl.clock.orders import Orders
from mpifl.errors import TrainingError


def checked_orders(rule: str, orders: object, count: int, *, steps: bool, uploads: bool) -> Orders:
    """Return what the rule named ``rule`` orders ``count`` participants, as int64 and float64.

    Args:
        rule: ``selection.name``.
        orders: What its method ``orders`` has returned.
        count: How many participants there are.
        steps: Whether it orders steps.
        uploads: Whether it orders shares of uploads.

    Raises:
        TrainingError: Not an ``Orders`` with ``count`` whole numbers of at least 1, and as many
            numbers above 0 and at most 1; names the first wrong place.
    """
    if not isinstance(orders, Orders):
        raise _wrong(rule, f"returned {type(orders).__name__}; expected Orders")
    for name, given, wanted in (("steps", orders.steps, steps), ("sent", orders.sent, uploads)):
        if (given is None) == wanted:
            what = "lacks" if wanted else "has"
            raise _wrong(rule, f"returned Orders that {what} {name}, unlike what the rule says")
    return Orders(
        None if orders.steps is None else _steps(rule, orders.steps, count),
        None if orders.sent is None else _sent(rule, orders.sent, count),
    )


def _steps(rule: str, steps: np.ndarray, count: int) -> np.ndarray:
    values = np.asarray(steps)
    if values.shape != (count,) or (count and values.dtype.kind not in "iu"):
        raise _shape(rule, "steps", values, count, "int64")
    wrong = np.flatnonzero(values < 1)
    if len(wrong):
        raise _wrong(
            rule,
            f"ordered {values[wrong[0]]} as the steps of the participant at {wrong[0]};"
            " allowed: 1 or more",
        )
    return values.astype(np.int64)


def _sent(rule: str, sent: np.ndarray, count: int) -> np.ndarray:
    values = np.asarray(sent)
    if values.shape != (count,) or (count and values.dtype.kind != "f"):
        raise _shape(rule, "sent", values, count, "float64")
    wrong = np.flatnonzero(~((values > 0) & (values <= 1)))
    if len(wrong):
        raise _wrong(
            rule,
            f"ordered a share of {values[wrong[0]]:g} of the upload for the participant at"
            f" {wrong[0]}; allowed: above 0, at most 1",
        )
    return values.astype(np.float64)


def _shape(rule: str, name: str, values: np.ndarray, count: int, kind: str) -> TrainingError:
    return _wrong(
        rule, f"returned {name} of {values.dtype} {values.shape}; expected {kind} ({count},)"
    )


def _wrong(rule: str, why: str) -> TrainingError:
    return TrainingError(f"selection.name: {rule!r}: its method orders {why}")
