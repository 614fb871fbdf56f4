"""What a recipe may draw a column from: quantiles, a log-normal, or a mixture of log-normals."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Discriminator, Field, Tag, model_validator
from scipy.special import ndtri

from mpifl.job.quantiles import Quantiles
from mpifl.job.section import Section

SHARES_ROUND_TO = 1e-6  # how far from 1 the sum of a recipe's shares may lie


def check_shares(shares: list[float]) -> None:
    """Raise ValueError unless shares are a whole."""
    if abs(sum(shares) - 1) > SHARES_ROUND_TO:
        raise ValueError(f"shares add up to {sum(shares):g}; they must add up to 1")


class LogNormal(Section):
    """The logarithm is normal with mean ln(median) and standard deviation sigma."""

    median: float = Field(gt=0)
    sigma: float = Field(ge=0, le=10)

    def at(self, uniform: np.ndarray) -> np.ndarray:
        """The inverse distribution function at ``uniform`` in [0, 1)."""
        # 0 itself would be a value of 0, or of infinity after a turn of sign.
        return self.median * np.exp(self.sigma * ndtri(np.maximum(uniform, np.finfo(float).eps / 2)))


class Part(LogNormal):
    """One of the log-normals of a mixture."""

    share: float = Field(gt=0, le=1)


class Mixture(Section):
    """Each value comes from one of several log-normals, by their shares."""

    mixture: list[Part] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Mixture:
        check_shares([part.share for part in self.mixture])
        return self

    def at(self, uniform: np.ndarray) -> np.ndarray:
        """Values whose distribution is the mixture's where ``uniform`` is uniform in [0, 1); they do not rise with it."""
        borders = np.cumsum([part.share for part in self.mixture])
        which = np.minimum(np.searchsorted(borders, uniform, side="right"), len(self.mixture) - 1)
        values = np.empty(len(uniform))
        for number, part in enumerate(self.mixture):
            mine = which == number
            within = (uniform[mine] - (borders[number] - part.share)) / part.share
            values[mine] = part.at(np.clip(within, 0, 1 - np.finfo(float).eps / 2))
        return values


def has_key(key: str, with_it: str, without: str) -> Discriminator:
    """Choose between two tags by whether a mapping has ``key``."""

    def tag(value: Any) -> str:
        found = key in value if isinstance(value, dict) else isinstance(value, BaseModel) and key in type(value).model_fields
        return with_it if found else without

    return Discriminator(tag)


Rising = Annotated[
    Annotated[LogNormal, Tag("<log-normal>")] | Annotated[Quantiles, Tag("<quantiles>")],
    has_key("median", "<log-normal>", "<quantiles>"),
]
"""A distribution whose ``at`` rises with its argument, so that a copula may tie it to another one."""

Distribution = Annotated[
    Annotated[Mixture, Tag("<mixture>")] | Annotated[Rising, Tag("<plain>")], has_key("mixture", "<mixture>", "<plain>")
]
"""Any of them. The tags stand in pydantic's paths to what is wrong; ``synthesis.read_recipe`` leaves them out."""
