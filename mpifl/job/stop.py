"""The section of a job that says when a run ends before its last round."""

from __future__ import annotations

from pydantic import Field, model_validator

from mpifl.job.metrics import out_of_reach
from mpifl.job.section import Count, Section


class Stop(Section):
    """When a run ends before `rounds`: after the first round that meets one of these.

    The model is then that of this round, and the round is tested.
    """

    metric: str | None = Field(
        None,
        description="what `at` and `patience` are about: accuracy, loss or another column of"
        " /rounds that the job's tests give, also a measure of the objective's own",
    )
    at: float | None = Field(
        None,
        description="end when the metric is at least that; where the lower value is the better"
        " one, as of a loss, at most",
    )
    patience: Count | None = Field(
        None, description="end after so many tests in a row without a better metric"
    )
    least: float = Field(
        0.0, ge=0, description="with `patience`: a metric is better if it is by more than this"
    )
    hours: float | None = Field(
        None, gt=0, description="end with the round in which the virtual clock reaches that"
    )

    def out_of_time(self, seconds: float) -> bool:
        """Return whether a round that ends at ``seconds`` of virtual time is the last one."""
        return self.hours is not None and seconds >= 3600 * self.hours

    @model_validator(mode="after")
    def _complete(self) -> Stop:
        if self.metric is None and (self.at is not None or self.patience is not None):
            raise ValueError("at and patience need a metric")
        if self.metric is not None and self.at is None and self.patience is None:
            raise ValueError("metric needs at, patience or both")
        if self.metric is not None and self.at is not None:
            problem = out_of_reach(self.metric, self.at)
            if problem is not None:
                raise ValueError(f"at {self.at:g} cannot be reached: {problem}")
        if self.least and self.patience is None:
            raise ValueError("least needs patience")
        return self
