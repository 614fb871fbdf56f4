"""The clients that the data set came with."""

from __future__ import annotations

from typing import Literal

from mpifl.job.section import Section


class Natural(Section):
    """Keep the clients of the source: its writers, speakers, hospitals. Nothing is rewritten."""

    name: Literal["natural"] = "natural"
