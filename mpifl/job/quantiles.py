"""Distributions given by their quantiles, in jobs and recipes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from mpifl.job.section import Section

LARGEST_VALUE = 1e15


class Quantiles(Section):
    """A distribution by its quantiles, per cent -> value, from 0 to 100 per cent.

    Between them values are interpolated linearly, or linearly in the logarithm (scale log).
    """

    quantiles: dict[float, float] = Field(
        min_length=2, description="per cent: value, from 0 to 100 per cent"
    )
    scale: Literal["linear", "log"] = Field(
        "linear", description="how to interpolate between the quantiles"
    )

    @model_validator(mode="after")
    def _check(self) -> Quantiles:
        per_cent, values = self._sorted()
        if per_cent[0] != 0 or per_cent[-1] != 100:
            raise ValueError("quantiles must run from 0 to 100 per cent")
        if values[-1] > LARGEST_VALUE:
            raise ValueError(f"quantile values must not be above {LARGEST_VALUE:g}")
        if (np.diff(values) < 0).any() or values[0] < 0 or (self.scale == "log" and values[0] <= 0):
            raise ValueError("quantile values must not fall, and must be above 0 for scale log")
        return self

    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        pairs = np.array(sorted(self.quantiles.items()))
        return pairs[:, 0], pairs[:, 1]

    def at(self, uniform: np.ndarray) -> np.ndarray:
        """Return the inverse distribution function at ``uniform`` in [0, 1), of any shape."""
        per_cent, values = self._sorted()
        if self.scale == "log":
            return np.exp(np.interp(uniform * 100, per_cent, np.log(values)))
        return np.interp(uniform * 100, per_cent, values)
