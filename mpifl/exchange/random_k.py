"""Random-k: some of the numbers, drawn at random."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from mpifl.exchange.part import Part
from mpifl.exchange.positions import count_of, scattered
from mpifl.exchange.stage import Coded, Shape, Size, Stage, StageContext

SEED_BITS = 64


class RandomK(Stage):
    """A stage: send numbers drawn at random, and the seed of the draw (arXiv 1610.05492, 3.1).

    k = ceil(share x count) of them, other ones for each client and round. The others arrive as 0.
    With ``scaled`` those sent are multiplied by count / k, so that what arrives is right in the
    mean: a sketched update by subsampling.
    """

    divides: ClassVar[bool] = True

    name: str = "random_k"
    share: float = Field(0.01, gt=0, le=1, description="share of the numbers that is sent")
    scaled: bool = Field(True, description="multiply by count / k, for the right mean")

    def part(self, sent: float) -> Self:
        return self.model_copy(update={"share": self.share * sent})

    def size(self, shape: Shape) -> Size:
        return Size(SEED_BITS // 8, Shape(count_of(self.share, shape.count)))

    def encode(self, values: np.ndarray, c: StageContext) -> Coded:
        seed = c.make_generator().integers(1 << 63)
        sent = values[self._positions(seed, len(values))]
        return Coded(sent, (Part(np.array([seed], np.uint64), SEED_BITS),))

    def decode(self, coded: Coded, c: StageContext) -> np.ndarray:
        count = c.shape.count
        values = coded.left
        if self.scaled:
            values = values * np.float32(count / len(values))
        return scattered(values, self._positions(coded.parts[0].numbers[0], count), count)

    def _positions(self, seed: np.integer, count: int) -> np.ndarray:
        """Return the positions (k,) int64, ascending."""
        random = np.random.Generator(np.random.Philox(int(seed)))
        return drawn(random, count_of(self.share, count), count)


def drawn(random: np.random.Generator, wanted: int, count: int) -> np.ndarray:
    """Return ``wanted`` of ``count`` positions, int64, ascending, drawn without replacement."""
    return np.sort(random.choice(count, wanted, replace=False, shuffle=False))
