"""Top-k: the numbers of the largest size."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from mpifl.exchange.positions import (
    code_positions,
    count_of,
    decode_positions,
    positions_bytes,
    scattered,
)
from mpifl.exchange.stage import Coded, Shape, Size, Stage, StageContext


class TopK(Stage):
    """A stage: send the numbers of the largest size, with their positions (arXiv 1704.05021).

    ceil(share x count) of them; on a tie those that come first. The others arrive as 0. Positions
    take ceil(log2(count)) bits each, or one bit for each of all numbers where that is shorter;
    nothing where all are sent. The numbers sent are left to the next stage, in their order.
    """

    divides: ClassVar[bool] = True
    shrinks: ClassVar[bool] = True

    name: str = "top_k"
    share: float = Field(0.01, gt=0, le=1, description="share of the numbers that is sent")

    def part(self, sent: float) -> Self:
        return self.model_copy(update={"share": self.share * sent})

    def size(self, shape: Shape) -> Size:
        chosen = count_of(self.share, shape.count)
        left = shape if chosen == shape.count else Shape(chosen)
        return Size(positions_bytes(chosen, shape.count), left)

    def encode(self, values: np.ndarray, c: StageContext) -> Coded:
        positions = largest(values, count_of(self.share, len(values)))
        return Coded(values[positions], code_positions(positions, len(values)))

    def decode(self, coded: Coded, c: StageContext) -> np.ndarray:
        count = c.shape.count
        positions = decode_positions(coded.parts, len(coded.left), count)
        return scattered(coded.left, positions, count)


def largest(values: np.ndarray, wanted: int) -> np.ndarray:
    """Return the positions (wanted,), ascending, of the numbers of the largest size.

    On a tie those that come first.
    """
    count = len(values)
    if wanted == count:
        return np.arange(count)
    sizes = np.abs(values)
    least = np.partition(sizes, count - wanted)[count - wanted]
    above = np.flatnonzero(sizes > least)
    tied = np.flatnonzero(sizes == least)[: wanted - len(above)]
    return np.sort(np.concatenate([above, tied]))
