"""The section ``record.updates`` of a job."""

from __future__ import annotations

from pydantic import Field

from mpifl.job.section import Count, Section


class RecordedUpdates(Section):
    """Updates that are kept as they reach the server, for ``mpifl invert``."""

    clients: tuple[int | str, ...] = Field(
        ..., min_length=1, description="whose: clients by number or by the name in the data set"
    )
    rounds: tuple[Count, ...] = Field(
        ...,
        min_length=1,
        description="of which rounds; with an asynchronous clock those in which it began",
    )
