"""The base class of the mechanisms that have a budget: epsilon, delta and the noise for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from mpifl.errors import InputError, counted
from mpifl.job.section import Count
from mpifl.privacy.accounting import least_multiplier
from mpifl.privacy.privacy import Privacy, Spent

if TYPE_CHECKING:
    from mpifl.job import Job
    from mpifl.population.population import Population

DELTA_POWER = 1.1


class Budgeted(Privacy):
    """Base of the mechanisms with a budget; each has ``worst`` and ``epsilon_of``.

    A job gives the noise multiplier, or an epsilon from which it follows. With both, the noise has
    to be enough for the epsilon.
    """

    library: ClassVar[str] = "dp-accounting"

    epsilon: float | None = Field(
        None, gt=0, description="the budget: the most epsilon that the run may come to"
    )
    delta: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="delta of all epsilons; default: clients to the power -1.1",
    )
    noise_multiplier: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="standard deviation of the noise, divided by the bound on an update; default:"
        " what `epsilon` needs",
    )
    participations: Count | None = Field(
        None,
        description="the most rounds in which a client takes part: the run ends with an error"
        " before one more; default: all",
    )

    @model_validator(mode="after")
    def _noise(self) -> Self:
        if self.epsilon is None and self.noise_multiplier is None:
            raise ValueError("give epsilon or noise_multiplier")
        return self

    def check(self, job: Job, population: Population) -> None:
        where = f"not allowed with privacy.name {self.name}"
        if job.training.engine == "none":
            raise InputError(f"training.engine: 'none' is {where}: nothing is trained")
        if job.protocol.has_actors:
            raise InputError(
                f"protocol.name: {job.protocol.name!r} is {where}, which is one of rounds; allowed:"
                " rounds"
            )
        if job.selection.losses != "none" or job.selection.probes:
            raise InputError(
                f"selection.name: {job.selection.name!r} is {where}: it chooses by losses, which"
                " have no noise"
            )
        if job.training.early_stop is not None:
            raise InputError(
                f"training.early_stop: {job.training.early_stop:g} is {where}: who completes a"
                " round would depend on clients' data; leave it out"
            )

    def resolved(self, job: Job, population: Population) -> Self:
        delta = self.default_delta(population) if self.delta is None else self.delta
        filled = self.model_copy(update={"delta": delta})
        worst = self.worst(job.rounds)
        if self.noise_multiplier is not None:
            if self.epsilon is not None:
                filled._check_enough(job, population, worst)
            return filled

        def epsilon_of(multiplier: float) -> float:
            tried = filled.model_copy(update={"noise_multiplier": multiplier})
            return tried.epsilon_of(worst, job, population)

        assert self.epsilon is not None
        multiplier = least_multiplier(epsilon_of, self.epsilon)
        return filled.model_copy(update={"noise_multiplier": multiplier})

    @staticmethod
    def default_delta(population: Population) -> float:
        """Return the delta of a job that gives none."""
        return max(2, population.clients) ** -DELTA_POWER

    def _check_enough(self, job: Job, population: Population, worst: Spent) -> None:
        """Raise InputError where the noise is not enough for the epsilon."""
        epsilon = self.epsilon_of(worst, job, population)
        assert self.epsilon is not None
        if epsilon > self.epsilon * (1 + 1e-9):
            raise InputError(
                f"privacy.noise_multiplier: {self.noise_multiplier:g} is not enough for"
                f" privacy.epsilon {self.epsilon:g}: {counted(job.rounds, 'round')} come to"
                f" {epsilon:.4g}; leave one of the two out"
            )

    def worst(self, rounds: int) -> Spent:
        """Return the most that so many rounds can release, by ``participations``."""
        raise NotImplementedError

    def allowed(self, rounds: int) -> int | None:
        return None if self.participations is None else self.worst(rounds).most

    @property
    def multiplier(self) -> float:
        """The noise multiplier, once it is resolved."""
        return math.nan if self.noise_multiplier is None else self.noise_multiplier

    def whose(self, job: Job, population: Population) -> str:
        """Return in words for which clients the epsilon before a run is."""
        often = "every round" if self.participations is None else "as often as allowed"
        return f"for a client that takes part in {often}"

    def describe(self, job: Job, population: Population) -> list[str]:
        worst = self.worst(job.rounds)
        epsilon = self.epsilon_of(worst, job, population)
        lines = [
            f"privacy: epsilon {epsilon:.4g} at delta {self.delta:.3g} after"
            f" {counted(job.rounds, 'round')}, {self.whose(job, population)}; noise multiplier"
            f" {self.multiplier:.4g}"
        ]
        if self.delta is not None and self.delta * population.clients >= 1:
            lines.append(
                f"privacy.delta: {self.delta:g} is not below 1 / clients: that promises little"
            )
        return lines
