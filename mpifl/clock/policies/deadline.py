"""Rounds with a deadline: work that is done by then counts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from mpifl.clock.kernels.latency import finish_seconds
from mpifl.clock.latency import work_seconds
from mpifl.clock.overcommitment import overcommitted
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import Asked, Call, ClockState, Outcome, Timeline
from mpifl.shares import ceil_share


class Deadline(RoundPolicy):
    """A round policy: ask ceil(overcommitment x participants) clients, and end at a deadline.

    The deadline is ``seconds`` after the start, or a ``quantile`` of the durations of the
    participants. A round whose participants all stop earlier ends earlier.

    With ``partial``, a participant that cannot do all its steps by the deadline does as many as
    leave it time to upload, and weighs by the samples that it went through (the cut-off of Flower's
    paper, section 5.3; FedFS). One that cannot do a single step is cut. Without ``partial``, all
    who have not finished are cut.

    With ``fast_seconds`` rounds take turns: ``fast_rounds`` with this deadline, then
    ``slow_rounds`` with ``seconds`` (the alternating timeout of FedFS, arXiv 2007.14390, A.2).
    """

    weighs_work: ClassVar[bool] = True

    mode: str = "deadline"
    overcommitment: float = Field(
        1.0, ge=1, le=1e6, description="clients asked for each participant"
    )
    seconds: float | None = Field(None, gt=0, le=1e9, description="length of a round")
    quantile: float | None = Field(
        None, gt=0, lt=1, description="share of the cohort that can do all its work in time"
    )
    fast_seconds: float | None = Field(
        None, gt=0, le=1e9, description="length of a fast round; default: all are alike"
    )
    fast_rounds: int = Field(1, ge=1, le=10**6, description="fast rounds in a row")
    slow_rounds: int = Field(1, ge=1, le=10**6, description="rounds of `seconds` after those")
    partial: bool = Field(True, description="count the steps done by the deadline")

    @model_validator(mode="before")
    @classmethod
    def _seconds_or_quantile(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and (raw.get("seconds") is None) == (raw.get("quantile") is None):
            raise ValueError("give seconds or quantile, one of the two")
        if isinstance(raw, dict) and raw.get("fast_seconds") and raw.get("seconds") is None:
            raise ValueError("fast_seconds needs seconds, the length of the slow rounds")
        return raw

    @model_validator(mode="after")
    def _turns_of_fast_rounds(self) -> Deadline:
        if self.fast_seconds is None and (self.fast_rounds, self.slow_rounds) != (1, 1):
            raise ValueError("fast_rounds and slow_rounds need fast_seconds")
        return self

    def at_once(self, participants: int) -> int:
        return overcommitted(self.overcommitment, participants)

    def ask(self, state: ClockState, call: Call) -> Asked:
        rows = super().ask(state, call).rows
        deadline = self._deadline(call, rows)
        if self.partial:
            self._shorten(call, rows, deadline)
        return Asked(rows, deadline)

    def settle(self, state: ClockState, call: Call, asked: Asked) -> tuple[Timeline, ClockState]:
        rows = asked.rows
        deadline = asked.latest
        flows = self.share(call, rows, len(rows), deadline)

        end = min(deadline, float(rows["stop_seconds"].max()))
        if math.isinf(end):
            end = self.last_stop(rows)
        self.cut(rows, end)
        done = rows["outcome"] == Outcome.COMPLETED
        if not done.any():
            self.check_possible(call)
        return self.together(state, call, rows, done, flows, end, deadline)

    def least_work(self, call: Call, clients: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the least work, see RoundPolicy. With ``partial`` one step is enough."""
        limit = math.inf
        if self.seconds is not None:
            limit = max(self.seconds, self.fast_seconds or 0.0)
        if not self.partial:
            return super().least_work(call, clients)[0], limit
        held = call.population.samples(clients)
        one_step = np.ones(len(held), np.int64)
        processed = call.workload.processed(held, one_step)
        return call.workload.costed(clients, held, processed, one_step), limit

    def _deadline(self, call: Call, rows: np.ndarray) -> float:
        """Return the moment at which the round has to end."""
        start = float(rows["start_seconds"][0])
        turn = (call.round - 1) % (self.fast_rounds + self.slow_rounds)
        if self.fast_seconds is not None and turn < self.fast_rounds:
            return start + self.fast_seconds
        if self.seconds is not None:
            return start + self.seconds
        assert self.quantile is not None
        work = np.sort(work_seconds(rows))
        return start + float(work[max(1, ceil_share(self.quantile, len(work))) - 1])

    def _shorten(self, call: Call, rows: np.ndarray, deadline: float) -> None:
        """Give each participant, in place, the steps that it can do and upload by the deadline.

        A participant that cannot do a single step stays as it is, to be cut.
        """
        steps = self._steps_until(call, rows, deadline)
        self.shorten(call, rows, np.where(steps > 0, steps, rows["steps"]))

    def _steps_until(self, call: Call, rows: np.ndarray, deadline: float) -> np.ndarray:
        """Return the most steps (n,) int64 that each has done and uploaded by the deadline.

        At most those planned; 0 where even one is too many. More steps are never done sooner, so a
        bisection finds the most.
        """
        low = np.zeros(len(rows), np.int64)
        high = rows["steps"] + 1
        middle = rows["steps"].copy()  # first, because most participants can do all of them
        left = np.arange(len(rows))

        while len(left):
            in_time = self._finish(call, rows[left], middle[left]) <= deadline
            low[left[in_time]] = middle[left[in_time]]
            high[left[~in_time]] = middle[left[~in_time]]

            left = left[high[left] - low[left] > 1]
            middle[left] = (low[left] + high[left]) // 2
        return low

    def _finish(self, call: Call, rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the moment (n,) at which each would be done with ``steps`` (n,) steps."""
        held = call.population.samples(np.ascontiguousarray(rows["client"]))
        processed = call.workload.processed(held, steps)
        return finish_seconds(*self.timed(call, rows, processed, steps))
