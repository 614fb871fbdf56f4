"""QSGD: stochastic levels between 0 and the norm."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.exchange.buckets import bucket_count, in_buckets, out_of_buckets
from mpifl.exchange.part import Part, bits_for, floats, packed_bytes, to_floats
from mpifl.exchange.stage import NONE_LEFT, Coded, Shape, Size, Stage, StageContext


class Qsgd(Stage):
    """A stage: round each number to a level of its bucket's norm, at random (arXiv 1610.02132).

    A number v becomes norm x sign(v) x l / levels, where l is one of the two whole numbers next to
    levels x |v| / norm, the nearer one with the higher probability, so that what arrives is v in
    the mean. Each bucket sends its Euclidean norm (4 bytes), each number
    ceil(log2(2 levels + 1)) bits. FedPAQ (arXiv 1909.13014) is FedAvg with this stage.
    """

    ends: ClassVar[bool] = True

    name: str = "qsgd"
    levels: int = Field(16, ge=1, le=2**15, description="levels between 0 and the norm")
    bucket: int | None = Field(
        512, ge=1, description="numbers that have a norm of their own; null: all have one norm"
    )

    def size(self, shape: Shape) -> Size:
        norms = packed_bytes(bucket_count(shape.count, self.bucket), 32)
        return Size(norms + packed_bytes(shape.count, self._bits), Shape(0))

    @property
    def _bits(self) -> int:
        return bits_for(2 * self.levels + 1)

    def encode(self, values: np.ndarray, c: StageContext) -> Coded:
        rows = in_buckets(values, self.bucket)
        norms = np.sqrt((rows**2).sum(axis=1)).astype(np.float32)
        some = np.where(norms > 0, norms, np.float32(1))
        with np.errstate(over="ignore"):  # of norms below 1e-33, whose scale needs float64
            scale = self.levels / some
        scale = np.where(np.isinf(scale), self.levels / some.astype(np.float64), scale)
        scale[norms == 0] = 0.0
        exact = np.abs(rows) * scale[:, None]
        level = np.floor(exact + c.make_generator().random(rows.shape))
        signed = np.copysign(np.minimum(level, self.levels), rows).reshape(-1)[: len(values)]
        codes = (signed + self.levels).astype(np.uint32)
        return Coded(NONE_LEFT, (floats(norms), Part(codes, self._bits)))

    def decode(self, coded: Coded, c: StageContext) -> np.ndarray:
        norms, codes = coded.parts
        level = codes.numbers.astype(np.float64) - self.levels
        rows = in_buckets(level, self.bucket) / self.levels
        return out_of_buckets(rows * to_floats(norms)[:, None], c.shape.count)
