"""The clients that the data came with."""

from __future__ import annotations

from typing import Literal

from mpifl.job.section import Section


class Natural(Section):
    """Leave the data as it is: its own writers, speakers, hospitals are the clients. Nothing is rewritten."""

    name: Literal["natural"] = "natural"
