"""The learning rate from round to round."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from mpifl.job.section import Section


class Schedule(Section):
    """The factor on ``training.lr`` in each round.

    constant: 1.
    step: gamma^floor((round - 1) / every).
    exponential: gamma^(round - 1).
    cosine: from 1 in the first round to ``final`` after the last, half a cosine.
    linear: from 1 in the first round to ``final`` after the last.

    With ``warmup_rounds`` w the factor is multiplied by round / (w + 1) in the first w rounds.
    """

    name: Literal["constant", "step", "exponential", "cosine", "linear"] = Field(
        "constant", description="how the learning rate changes"
    )
    gamma: float = Field(0.98, gt=0, le=1, description="with `step` and `exponential`: the factor")
    every: int = Field(10, ge=1, description="with `step`: rounds from one factor to the next")
    final: float = Field(0.0, ge=0, le=1, description="with `cosine` and `linear`: the last factor")
    warmup_rounds: int = Field(0, ge=0, description="rounds in which lr rises to its value")

    def factor(self, round_number: int, rounds: int) -> float:
        """Return the factor in a round (from 1 on) of ``rounds``."""
        done = round_number - 1
        progress = done / rounds
        factor = 1.0
        if self.name == "step":
            factor = self.gamma ** (done // self.every)
        elif self.name == "exponential":
            factor = self.gamma**done
        elif self.name == "cosine":
            factor = self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
        elif self.name == "linear":
            factor = 1 - (1 - self.final) * progress
        if round_number <= self.warmup_rounds:
            factor *= round_number / (self.warmup_rounds + 1)
        return factor
