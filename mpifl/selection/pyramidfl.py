"""PyramidFL: Oort's selection, with more local steps and smaller uploads (Li et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from mpifl.clock.latency import work_seconds
from mpifl.clock.orders import Orders
from mpifl.clock.timeline import Outcome
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.oort import Oort
from mpifl.selection.table import looked_up, updated

if TYPE_CHECKING:
    from mpifl.job import Job

MOST_TIMES = 10
"""The most steps besides those of the job, as a multiple of them."""
ROUNDING = 1e-9
MOST_EPOCHS = 5
"""The most epochs, for those whose job has no more."""


class PyramidFL(Oort):
    """A selection rule: PyramidFL (Li et al., MobiCom 2022), as in its code.

    It chooses as FedScale's Oort does (``code: fedscale`` of ``oort``), with constants of its own.
    The utility is min(samples held, samples gone through) sqrt(mean of loss^2 over all samples gone
    through). So one that did part of its work counts for this part, and a single minibatch does not
    decide. The seconds are those of the work that a client was given. Its code does not draw from
    a pool of at least ten times the clients exploited, as FedScale's does; here ``cut_off`` has
    that pool as well.

    Those chosen are timed beforehand, each on its own. Of the N that are to finish first
    (``participants``), each has a rank r from 0: that of its last gradient utility, the highest
    first, which is |update| min(samples held, samples gone through). Those who have none yet come
    before, by their samples. It sends the share most_sent - r (most_sent - least_sent) / N of its
    upload, where the two are not both 1; ``exchange.up`` needs a stage that sends a share.

    The round is then to last as long as the slowest of these N takes. One that would be done s
    seconds earlier, at t seconds a full minibatch, makes floor(extra_steps floor(s / t)) local
    steps more: at most 10 times those of the job more, and at most 5 epochs in all. Others of
    those chosen do what the job says. What is learned of a client's seconds is in proportion to
    what the job says, too.

    The published code takes the norm of the update minus the model for |update|. It charges the
    share sent for the download, too.
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
    extra_steps: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of the local steps for which a participant has time left that it makes;"
        " 0: none",
    )
    most_sent: float = Field(
        1.0, gt=0, le=1, description="share of its upload that the first in rank sends; 0.9"
    )
    least_sent: float = Field(
        1.0, gt=0, le=1, description="share that one behind the last in rank would send; 0.4"
    )

    @model_validator(mode="after")
    def _check(self) -> PyramidFL:
        if self.least_sent > self.most_sent:
            raise ValueError(
                f"least_sent {self.least_sent:g} is above most_sent {self.most_sent:g}"
            )
        return self

    @property
    def norms(self) -> bool:
        return self.orders_uploads

    @property
    def orders_steps(self) -> bool:
        return self.extra_steps > 0

    @property
    def orders_uploads(self) -> bool:
        return self.least_sent < 1

    def check(self, job: Job) -> None:
        super().check(job)
        if not job.clock.asynchronous:
            return
        for key, value, allowed in (
            ("extra_steps", self.extra_steps, 0),
            ("least_sent", self.least_sent, 1),
        ):
            if value != allowed:
                raise InputError(
                    f"selection.{key}: {value:g} is not allowed with clock.mode {job.clock.mode},"
                    f" where nobody waits for the slowest; allowed: {allowed}"
                )

    def start(self, population: Population, workload: Workload) -> State:
        return {**super().start(population, workload), "gradient": np.empty(0)}

    def orders(self, c: SelectionContext, clients: np.ndarray) -> Orders:
        rows = c.launch(clients)
        first = self._first(rows)
        sent = None
        if self.orders_uploads:
            sent = np.ones(len(clients))
            drop = (self.most_sent - self.least_sent) / max(1, len(first))
            sent[first] = self.most_sent - drop * self._rank(c, clients[first])
            rows = c.launch(clients, Orders(sent=sent))
        steps = self._steps(c, rows, first) if self.orders_steps else None
        return Orders(steps, sent)

    def learn(self, state: State, feedback: Feedback) -> State:
        after = super().learn(state, feedback)
        ended = feedback.participants
        completed = ended["outcome"] == Outcome.COMPLETED
        held = feedback.population.samples(np.ascontiguousarray(ended["client"]))
        gradient = np.nan_to_num(ended["update_norm"]) * np.minimum(held, ended["samples"])

        counted = completed
        if self._of_code:
            counted = completed | (ended["outcome"] == Outcome.CUT)
            gradient[~completed] = gradient[completed].mean() if completed.any() else 0.0
        before = {
            "client": after["client"],
            "gradient": looked_up(state, "gradient", after["client"], 0.0),
        }
        rows = {"client": ended["client"][counted], "gradient": gradient[counted]}
        return {**after, **updated(before, rows)}

    def _utility(self, feedback: Feedback) -> np.ndarray:
        ended = feedback.participants
        held = feedback.population.samples(ended["client"])
        utility: np.ndarray = np.sqrt(ended["squared_loss"]) * np.minimum(held, ended["samples"])
        return utility

    def _first(self, rows: np.ndarray) -> np.ndarray:
        """Return the places (n,) of the N that are to finish first, the fastest first."""
        finish = np.where(rows["outcome"] == Outcome.COMPLETED, work_seconds(rows), np.inf)
        order = np.lexsort((rows["client"], finish))
        finishing = order[np.isfinite(finish[order])]
        return finishing[: self.participants]

    def _rank(self, c: SelectionContext, clients: np.ndarray) -> np.ndarray:
        """Return the rank (n,) int64 of each client by its gradient utility, from 0."""
        gradient = looked_up(c.state, "gradient", clients, np.inf)
        samples = c.population.samples(clients)
        best_first = np.lexsort((clients, -samples, -gradient))
        rank = np.empty(len(clients), np.int64)
        rank[best_first] = np.arange(len(clients))
        return rank

    def _steps(self, c: SelectionContext, rows: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Return the local steps (n,) int64 of participants as forecast, (n,) PARTICIPANT."""
        steps: np.ndarray = rows["steps"].copy()
        if not len(first):
            return steps
        some = rows[first]
        planned = some["steps"]
        seconds = work_seconds(some)
        left = seconds.max() - seconds
        full = planned if c.workload.full_batches else some["samples"] / c.workload.batch_size
        each = some["compute_seconds"] / full
        # Somebody whose training takes no time makes the most that it may.
        spare = np.divide(left, each, out=np.full(len(some), np.inf), where=each > 0)
        # Who would be done at the same moment as the slowest, but for rounding, would be cut.
        spare = np.maximum(np.floor(spare - ROUNDING), 0)
        more = np.minimum(np.floor(self.extra_steps * spare), MOST_TIMES * planned)

        held = c.population.samples(np.ascontiguousarray(some["client"]))
        epochs = MOST_EPOCHS * c.workload.steps_of_epoch(held)
        most = np.maximum(planned, epochs)
        steps[first] = np.minimum(planned + more.astype(np.int64), most)
        return steps
