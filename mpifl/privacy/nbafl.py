"""NbAFL: clients add noise to their models before they are aggregated, and the server after."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from mpifl.errors import InputError, counted
from mpifl.exchange.clip import norm_of
from mpifl.job.section import Count
from mpifl.privacy.accounting import gaussian_epsilon
from mpifl.privacy.local import Local
from mpifl.privacy.privacy import MakeGenerator, Spent

if TYPE_CHECKING:
    import torch

    from mpifl.job import Job
    from mpifl.population.population import Population


class NbAfl(Local):
    """A mechanism: noising before aggregation (Wei et al., TIFS 2020, arXiv 1911.00222).

    A client scales the *model* that it has trained down to ``norm`` (C) and adds Gaussian noise of
    c L 2 C / (m epsilon) to each weight: c = sqrt(2 ln(1.25 / delta)), m is ``samples``, and L is
    ``exposures``, the uploads for which ``epsilon`` is meant. The server adds the noise of theorem
    1 to a mean of N models where T rounds are more than L sqrt(N). What is protected is one sample
    of a client, as far as it moves the trained model by 2 C / m at most, which the paper takes for
    granted and nothing here enforces.
    """

    knows_rounds: ClassVar[bool] = True
    of_model: ClassVar[bool] = True

    name: str = "nbafl"
    epsilon: float = Field(
        ..., gt=0, description="the paper's epsilon, from which its two noises follow"
    )
    samples: Count = Field(..., description="m: the fewest samples that a client has")
    exposures: Count | None = Field(
        None, description="L: uploads of a client that may be seen; default: rounds"
    )

    def check(self, job: Job, population: Population) -> None:
        super().check(job, population)
        if self.noise_multiplier is not None and self.noise_multiplier != self._multiplier(
            job, population
        ):
            raise InputError(
                "privacy.noise_multiplier: not allowed with privacy.name nbafl, which computes it;"
                " leave it out"
            )

    def resolved(self, job: Job, population: Population) -> NbAfl:
        multiplier = self._multiplier(job, population)
        return self.model_copy(
            update={"delta": self._delta(population), "noise_multiplier": multiplier}
        )

    def _delta(self, population: Population) -> float:
        return self.default_delta(population) if self.delta is None else self.delta

    def _multiplier(self, job: Job, population: Population) -> float:
        """Return the deviation of the noise on an upload, divided by C."""
        c = math.sqrt(2 * math.log(1.25 / self._delta(population)))
        return c * (self.exposures or job.rounds) * 2 / (self.samples * self.epsilon)

    def allowed(self, rounds: int) -> int | None:
        return self.participations  # the paper's epsilon is none of all that a client uploads

    def length(self, update: np.ndarray) -> float:
        return norm_of(update)

    def noise(self, size: int, random: np.random.Generator) -> np.ndarray:
        return random.standard_normal(size)

    def perturb(
        self, update: torch.Tensor, model: torch.Tensor, make_generator: MakeGenerator
    ) -> torch.Tensor:
        return super().perturb(model + update, model, make_generator) - model

    def after_mean(self, job: Job) -> float:
        updates = job.clock.updates(job.selection.participants)
        exposures = self.exposures or job.rounds
        if job.rounds <= exposures * math.sqrt(updates):
            return 0.0
        root = math.sqrt(job.rounds**2 - exposures**2 * updates)
        return self.multiplier / exposures * self.norm * root / updates

    def epsilon_of(self, spent: Spent, job: Job, population: Population) -> float:
        """Return the epsilon of one sample, if it moves a model by 2 C / m at most."""
        if not spent.most:
            return 0.0
        moves = 2 / self.samples * math.sqrt(spent.most)
        return gaussian_epsilon(self.multiplier / moves, self.delta or 0.0)

    def describe(self, job: Job, population: Population) -> list[str]:
        return [
            f"privacy: noise of {self.upload()[1]:.4g} on each weight of an upload and of"
            f" {self.after_mean(job):.4g} on each of the mean, for one of {self.samples:,} samples"
            f" of a client and {counted(self.exposures or job.rounds, 'upload')}"
        ]
