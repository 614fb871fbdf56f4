"""Rounds with a deadline: what is done by then counts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from mpifl.clock.latency import samples_until
from mpifl.clock.policy import RoundPolicy, asked, rates, work_seconds
from mpifl.clock.timeline import Call, ClockState, Outcome, Timeline


class Deadline(RoundPolicy):
    """Ask ceil(overcommitment x N) clients and end after ``seconds``, or at a quantile of their own durations.

    With ``partial`` a participant that cannot do all its steps in time does as many as leave time to upload, and is weighted by
    the samples it used (the cut-off of Flower's paper, section 5.3; FedFS); one that cannot do a single step is cut.
    Without ``partial`` everyone who has not finished is cut. A round ends earlier when all its participants have stopped.
    """

    weighs_work: ClassVar[bool] = True

    mode: str = "deadline"
    overcommitment: float = Field(1.0, ge=1, le=1e6, description="clients asked, per participant")
    seconds: float | None = Field(None, gt=0, le=1e9, description="seconds from the start of a round to its deadline")
    quantile: float | None = Field(None, gt=0, lt=1, description="share of the cohort that can finish by the deadline")
    partial: bool = Field(True, description="count the local steps that fit before the deadline")

    @model_validator(mode="before")
    @classmethod
    def _seconds_or_quantile(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and (raw.get("seconds") is None) == (raw.get("quantile") is None):
            raise ValueError("give seconds or quantile, one of the two")
        return raw

    def at_once(self, participants: int) -> int:
        """See RoundPolicy."""
        return asked(self.overcommitment, participants)

    def advance(self, state: ClockState, call: Call) -> tuple[Timeline, ClockState]:
        """See RoundPolicy."""
        rows = self.cohort(state, call, self.at_once(call.participants))
        deadline = self._deadline(rows)
        if self.partial:
            self._shorten(call, rows, deadline)
        flows = self.share(call, rows, len(rows), deadline)
        end = min(deadline, float(rows["stop_seconds"].max()))
        if math.isinf(end):
            end = self.last_stop(rows)
        self.cut(rows, end)
        done = rows["outcome"] == Outcome.COMPLETED
        if not done.any():
            self.check_possible(call)
        return self.together(state, call, rows, done, flows, end, deadline)

    def least_work(self, call: Call, held: np.ndarray) -> tuple[np.ndarray, float]:
        """See RoundPolicy. One step is enough with ``partial``."""
        limit = math.inf if self.seconds is None else self.seconds
        if not self.partial:
            return super().least_work(call, held)[0], limit
        one = np.ones(len(held), np.int64)
        return call.workload.costed(call.workload.processed(held, one), one), limit

    def _deadline(self, rows: np.ndarray) -> float:
        start = float(rows["start_seconds"][0])
        if self.seconds is not None:
            return start + self.seconds
        assert self.quantile is not None
        work = np.sort(work_seconds(rows))
        return start + float(work[math.ceil(round(self.quantile * len(work), 9)) - 1])

    def _shorten(self, call: Call, rows: np.ndarray, deadline: float) -> None:
        """Leave each participant the steps that it can do and upload by the deadline; none of them: as it was, to be cut."""
        start, held = float(rows["start_seconds"][0]), call.population.samples(rows["client"])
        clients, planned = np.ascontiguousarray(rows["client"]), call.workload.costed(rows["samples"], rows["steps"])
        budget = samples_until(call.population.phones, self.rule, clients, planned, rates(call), start, deadline)
        steps = call.workload.steps_within(held, np.maximum(budget, 0))
        some = (steps > 0) & (steps < rows["steps"])
        shorter = rows[some]
        shorter["steps"] = steps[some]
        shorter["samples"] = call.workload.processed(held[some], steps[some])
        self.retime(call, shorter)
        rows[some] = shorter
