"""PyramidFL: Oort's selection, with utilities of what a client has trained (Li et al. 2022)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from mpifl.selection.feedback import Feedback
from mpifl.selection.oort import Oort


class PyramidFL(Oort):
    """A selection rule: the selection of PyramidFL (Li et al., MobiCom 2022), as in its code.

    It chooses as FedScale's Oort does (``code: fedscale`` of ``oort``), with constants of its own.
    The utility is min(samples held, samples gone through) sqrt(mean of loss^2 over all samples gone
    through). So one that did part of its work counts for this part, and a single minibatch does not
    decide. The seconds are those of the work that a client was given.

    Selection is one part of PyramidFL. Not covered is what it does with the clients selected: more
    local steps for those that would wait for the slowest, and sending a part of the update only,
    the smaller the lower its gradient norm ranks. Its code does not draw from a pool of at least
    ten times the clients exploited, as FedScale's does; here ``cut_off`` has that pool as well.
    """

    name: str = "pyramidfl"
    exploration_decay: float = Field(
        0.95, gt=0, le=1, description="factor on that share from round to round"
    )
    percentile: float = Field(
        10.0, gt=0, le=100, description="of the durations of clients: T; 100: no penalty"
    )
    clip: float = Field(0.98, gt=0, le=1, description="quantile at which utilities are clipped")
    cut_off: float = Field(
        0.7, ge=0, le=1, description="share of the lowest utility that would do that suffices"
    )
    most_participations: int | None = Field(
        None, ge=1, description="after so many a client is not exploited any more; null: no limit"
    )
    code: Literal["paper", "fedscale"] = Field(
        "fedscale", description="whom to follow where Oort's paper and published code differ"
    )

    def _utility(self, feedback: Feedback) -> np.ndarray:
        ended = feedback.participants
        held = feedback.population.samples(ended["client"])
        utility: np.ndarray = np.sqrt(ended["squared_loss"]) * np.minimum(held, ended["samples"])
        return utility
