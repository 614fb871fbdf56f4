"""The named arrays of an algorithm: their shapes, and the units in which they are summed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mpifl.aggregation.exact_sum import FRACTION_BITS, LEAST_BITS, MOST_BITS
from mpifl.models.layout import Layout

Arrays = dict[str, np.ndarray]
"""Arrays by name."""

MODEL_SIZE: Literal["model"] = "model"
BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class Array:
    """The shape of an array, float32.

    Attributes:
        shape: Its dimensions. The last one may be ``"model"``, the entries of a model: its trained
            and its averaged segment. Of an array that is summed only the trained one is summed.
        bits: Bits behind the binary point in which it is summed: the unit is 2**-bits. Each term is
            rounded to it, so the mean of n clients is off by n/2 units at most. Values must be
            below 2**(62 - bits).
        coded: Whether stages of ``exchange`` may code it. Counts, flags and the like are sent as
            they are: a little less than 1 would be another answer.
    """

    shape: tuple[int | Literal["model"], ...] = ()
    bits: int = FRACTION_BITS
    coded: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a shape or unit that is not allowed."""
        if MODEL_SIZE in self.shape[:-1]:
            raise ValueError(f"shape {self.shape}: only the last dimension may be {MODEL_SIZE!r}")
        if type(self.bits) is not int or not LEAST_BITS <= self.bits <= MOST_BITS:
            raise ValueError(
                f"bits: {self.bits!r} is not allowed; allowed: integers {LEAST_BITS} to {MOST_BITS}"
            )

    @property
    def of_model(self) -> bool:
        """Whether the last dimension is that of a model."""
        return bool(self.shape) and self.shape[-1] == MODEL_SIZE

    def sized(self, model_size: int) -> tuple[int, ...]:
        """Return the shape in numbers, for a model of ``model_size`` entries."""
        return tuple(model_size if entry == MODEL_SIZE else entry for entry in self.shape)


MODEL = Array((MODEL_SIZE,))
"""A model, or a change of one."""

SCALAR = Array()
"""A number."""


def bytes_of(
    arrays: Mapping[str, Array],
    layout: Layout,
    model_bytes: int | None,
    entries: int | None = None,
) -> int:
    """Return the bytes of some arrays on the air: four a number.

    Args:
        arrays: By name.
        layout: The model.
        model_bytes: What a whole model counts instead, None for four bytes a number.
        entries: How many entries of a model travel: those that a client has; None for all.
    """
    if model_bytes is None:
        model_bytes = layout.size * BYTES_PER_NUMBER
    if entries is not None and entries < layout.size:
        model_bytes = math.ceil(model_bytes * entries / layout.size)

    total = 0
    for array in arrays.values():
        shape = array.sized(layout.size)
        if array.of_model:
            total += math.prod(shape[:-1]) * model_bytes
        else:
            total += math.prod(shape) * BYTES_PER_NUMBER
    return total


def read_only(values: np.ndarray) -> np.ndarray:
    """Return a view of an array that cannot be written through."""
    view = values.view()
    view.flags.writeable = False
    return view
