"""TiFL: all clients of a round are of one tier of speed (Chai et al., HPDC 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from mpifl.clock.workload import Workload
from mpifl.errors import InputError, counted
from mpifl.population.population import Population
from mpifl.selection.context import SelectionContext
from mpifl.selection.feedback import Feedback, State
from mpifl.selection.pool import FromPool
from mpifl.shares import ceil_share

if TYPE_CHECKING:
    from mpifl.job import Job


class TiFL(FromPool):
    """A selection rule: draw a tier of speed, then clients of it uniformly (arXiv 2001.09249).

    In the first ``profiling_rounds`` rounds clients are drawn uniformly, and the seconds that a
    round takes each are kept. Tiers are the quantiles of these seconds: the first is the fastest.
    A client's tier follows from its seconds at the moment. Places that a tier cannot fill go to
    the nearest tiers.

    A tier is drawn with its probability, as long as it has credits; a round costs the tiers 1
    credit together, each in proportion to its clients among those who took part. If no tier has
    credits, they do not count.

    With ``adaptive`` (algorithm 2) probabilities start as ``probabilities`` says. Every
    ``interval`` rounds, if the tier of the last round has no lower loss than ``interval`` rounds
    before, they are set anew: of n tiers with credits, the i-th highest loss has the probability
    (n - i) / (n (n - 1) / 2).

    The paper profiles clients before the first round, and tests the model on data of each tier
    after every round. Here a tier's loss is the mean training loss of its last participants, and a
    tier without one counts as the highest.
    """

    name: str = "tifl"
    tiers: int = Field(5, ge=1, le=1000, description="how many")
    profiling_rounds: int = Field(5, ge=1, description="first rounds, drawn uniformly")
    probabilities: list[float] | None = Field(
        None, description="of the tiers, the fastest first; default: equal"
    )
    credits: list[float] | None = Field(
        None, description="rounds for which each tier may be drawn; default: no limit"
    )
    adaptive: bool = Field(True, description="let probabilities follow the losses of the tiers")
    interval: int = Field(20, ge=1, description="rounds from one change to the next")

    @model_validator(mode="after")
    def _check(self) -> TiFL:
        for key in ("probabilities", "credits"):
            values = getattr(self, key)
            if values is not None and (len(values) != self.tiers or min(values) < 0):
                raise ValueError(
                    f"{key} must be {counted(self.tiers, 'number')} of 0 or more, one a tier"
                )
        if self.probabilities is not None and abs(sum(self.probabilities) - 1) > 1e-9:
            raise ValueError("probabilities must add up to 1")
        if not self.adaptive and self.interval != type(self).model_fields["interval"].default:
            raise ValueError(
                f"interval {self.interval} does nothing with adaptive false, by which probabilities"
                " do not change; leave it out"
            )
        return self

    def check(self, job: Job) -> None:
        super().check(job)
        if self.adaptive and job.training.engine == "none":
            raise InputError(
                "selection.adaptive: true is not allowed with training.engine none, which has no"
                " losses; allowed: false"
            )

    def start(self, population: Population, workload: Workload) -> State:
        equal = [1 / self.tiers] * self.tiers
        unlimited = [np.inf] * self.tiers
        return {
            "profiled": np.empty(0),
            "bounds": np.empty(0),
            "probability": np.array(self.probabilities or equal),
            "credits": np.array(self.credits or unlimited),
            "loss": np.full(self.tiers, np.inf),
            "loss_before": np.full(self.tiers, np.inf),
        }

    def choose(self, c: SelectionContext) -> np.ndarray:
        if c.round <= self.profiling_rounds:
            return c.uniform(c.wanted)
        clients = self.drawn_pool(c)
        of_tier = np.searchsorted(c.state["bounds"], c.seconds(clients))
        distance = np.abs(of_tier - self._tier(c))
        return clients[np.argsort(distance, kind="stable")[: c.wanted]]

    def learn(self, state: State, feedback: Feedback) -> State:
        ended = feedback.participants
        if feedback.round <= self.profiling_rounds:
            profiled = np.concatenate([state["profiled"], ended["seconds"]])
            return {**state, "profiled": profiled, "bounds": self._bounds(profiled)}
        if not len(ended):
            return state

        of_tier = np.searchsorted(state["bounds"], ended["seconds"])
        count = np.bincount(of_tier, minlength=self.tiers)
        left = state["credits"] - count / len(ended)
        after = {**state, "credits": left, "loss": self._loss(state, of_tier, ended["loss"])}
        if not self.adaptive or feedback.round % self.interval:
            return after

        latest = int(np.argmax(count))
        if after["loss"][latest] >= state["loss_before"][latest]:
            after["probability"] = changed(after["loss"], left > 0)
        return {**after, "loss_before": after["loss"]}

    def _bounds(self, seconds: np.ndarray) -> np.ndarray:
        """Return the seconds up to which each tier but the last goes, float64, sorted."""
        if not len(seconds):
            return np.empty(0)
        ranks = [ceil_share(tier / self.tiers, len(seconds)) for tier in range(1, self.tiers)]
        return np.sort(seconds)[np.array(ranks, np.int64) - 1]

    def _tier(self, c: SelectionContext) -> int:
        """Return the tier of this draw."""
        weight = np.where(c.state["credits"] > 0, c.state["probability"], 0.0)
        if not weight.any():
            weight = (c.state["credits"] > 0).astype(np.float64)
        if not weight.any():
            weight = c.state["probability"]
        return int(c.random().choice(self.tiers, p=weight / weight.sum()))

    def _loss(self, state: State, of_tier: np.ndarray, losses: np.ndarray) -> np.ndarray:
        """Return the mean loss of each tier (tiers,), the former one where nobody completed."""
        measured = ~np.isnan(losses)
        count = np.bincount(of_tier[measured], minlength=self.tiers)
        total = np.bincount(of_tier[measured], weights=losses[measured], minlength=self.tiers)
        mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), state["loss"])
        return mean


def changed(loss: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the probability of each tier: the higher its loss (n,), the likelier.

    Tiers that are not ``allowed`` (n,) bool have none.
    """
    probability = np.zeros(len(loss))
    tiers = np.flatnonzero(allowed)
    if not len(tiers):
        return np.full(len(loss), 1 / len(loss))
    highest_first = tiers[np.argsort(-loss[tiers], kind="stable")]
    weight = np.arange(len(tiers) - 1, -1, -1.0)
    if len(tiers) == 1:
        weight = np.ones(1)
    probability[highest_first] = weight / weight.sum()
    return probability
