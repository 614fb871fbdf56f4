"""The job keys of ``population.outages``: times at which no client of a region is online."""

from __future__ import annotations

from pydantic import Field, model_validator

from mpifl.job.section import Count, Section

MOST_DAYS = 3660


class Outages(Section):
    """Outages that all clients of a region have at the same time, such as those of a network.

    Each client is in one of ``regions`` regions for good, drawn by its number. In each region
    outages last hours on average, days_between after the end of the one before on average, both
    exponentially distributed. They are drawn for ``days`` days from the beginning of the run. In a
    longer run a client's online times repeat after the first whole periods of its availability
    pattern that hold these days.
    """

    regions: Count | None = Field(None, description="regions; default: no outages")
    days_between: float = Field(
        7.0, gt=0, le=1e4, description="mean days from the end of an outage to the next in a region"
    )
    hours: float = Field(4.0, gt=0, le=1e5, description="mean hours of an outage")
    days: Count = Field(28, description="days for which outages are drawn")

    @model_validator(mode="after")
    def _check(self) -> Outages:
        if self.regions is None and self != Outages.model_construct():
            raise ValueError("its keys need regions: without them there are no outages")
        if self.days > MOST_DAYS:
            raise ValueError(f"days must be at most {MOST_DAYS}")
        return self
