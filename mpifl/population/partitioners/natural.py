"""The clients that the data came with."""

from __future__ import annotations

from typing import Literal

from mpifl.job.section import Section


class Natural(Section):
    """Keep the clients of the data set: its writers, speakers or hospitals."""

    name: Literal["natural"] = "natural"
