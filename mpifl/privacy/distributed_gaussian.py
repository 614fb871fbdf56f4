"""Distributed differential privacy: clients add the noise of a sum that is aggregated securely."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from mpifl.errors import InputError, counted
from mpifl.job.section import Count
from mpifl.privacy.accounting import concentrated_epsilon
from mpifl.privacy.bound import clip_of, sensitivity
from mpifl.privacy.central import Central, NoiseStream
from mpifl.privacy.discrete import MOST_DEVIATION, discrete_gaussian
from mpifl.privacy.privacy import MakeGenerator, Spent
from mpifl.shares import ceil_share

if TYPE_CHECKING:
    from mpifl.job import Job
    from mpifl.population.population import Population

LEAST_SHARE = 0.8
"""Of the updates that a round waits for: ``least_updates`` of a job that gives none."""

LEAST_DEVIATION = 8.0
"""In units of the sum. From there on the sum of the shares of n clients has the account of one
discrete Gaussian to 10 n d exp(-pi^2 LEAST_DEVIATION^2) < 1e-273 n d, with d numbers (theorem 1 of
the paper): that counts as 0."""


class DistributedGaussian(Central):
    """A mechanism: each client adds discrete Gaussian noise, a share of that of the sum.

    P. Kairouz, Z. Liu, T. Steinke, The Distributed Discrete Gaussian Mechanism for Federated
    Learning with Secure Aggregation, ICML 2021, arXiv 2102.06387. The server sees the sum alone,
    and that has the noise of ``gaussian`` with ``noise: discrete`` at least. So what a client sends
    is hidden from the server too. Updates are summed in units of 2^-40 modulo 2^64: the paper's
    rotation, and its rounding to a few bits, are not needed.
    """

    shared: ClassVar[bool] = True

    name: str = "distributed_gaussian"
    least_updates: Count | None = Field(
        None,
        ge=2,
        description="the fewest updates whose noise is that of `noise_multiplier` together; a round"
        " with fewer is void; default: 80 % of those that a round waits for",
    )
    colluding: int = Field(
        0,
        ge=0,
        description="how many of them may tell the server their noise: the others have enough",
    )

    def fewest(self, job: Job) -> int:
        updates = job.clock.updates(job.selection.participants)
        return self.least_updates or max(2, ceil_share(LEAST_SHARE, updates))

    def stream(self, size: int, make_generator: MakeGenerator) -> NoiseStream:
        return lambda round_number: np.zeros(size)  # the server adds none

    def multiplier_of(self, updates: int, job: Job) -> float:
        return self.multiplier * math.sqrt(updates / self._shares(job))

    def noise_share(
        self, job: Job, weight: float, size: int, bits: int, random: np.random.Generator
    ) -> np.ndarray:
        units = self._units(job, weight, size, bits)
        return discrete_gaussian(units, size, random)

    def epsilon_of(self, spent: Spent, job: Job, population: Population) -> float:
        if not spent.most:
            return 0.0
        return concentrated_epsilon(self.multiplier / math.sqrt(spent.most), self.delta or 0.0)

    def check(self, job: Job, population: Population) -> None:
        where = f"not allowed with privacy.name {self.name}"
        if not job.secure_aggregation.active:
            raise InputError(
                f"secure_aggregation.name: {job.secure_aggregation.name!r} is {where}: a share of"
                " the noise hides no single update, which the server sees then; allowed: such as"
                " secagg"
            )
        if self.cap is not None:
            raise InputError(
                f"privacy.weights: 'capped' is {where}: a client does not know the weights of"
                " others, on which its noise would depend; allowed: uniform"
            )
        super().check(job, population)
        updates = job.clock.updates(job.selection.participants)
        if self.fewest(job) > updates:
            raise InputError(
                f"privacy.least_updates: {self.fewest(job)} is not allowed: a round waits for"
                f" {updates}; allowed: 2 to {updates}"
            )
        if self.colluding >= self.fewest(job):
            raise InputError(
                f"privacy.colluding: {self.colluding} is not allowed: a round may have"
                f" {counted(self.fewest(job), 'update')} (privacy.least_updates); allowed: fewer"
            )

    def check_units(self, job: Job, size: int, bits: int) -> None:
        updates = job.clock.updates(job.selection.participants)
        asked = job.clock.at_once(updates)
        least = self._units(job, 1 / asked, size, bits)
        most = self._units(job, 1 / self.fewest(job), size, bits) * math.sqrt(asked)
        if self.multiplier and not (least >= LEAST_DEVIATION and most <= MOST_DEVIATION):
            size_of = "small" if least < LEAST_DEVIATION else "large"
            raise InputError(
                f"privacy.noise_multiplier: {self.multiplier:g} is not allowed: noise of"
                f" {least * 2.0**-bits:.3g} a client is too {size_of} to be drawn as whole units of"
                f" the sum; a {'larger' if size_of == 'small' else 'smaller'} bound on updates"
            )

    def describe(self, job: Job, population: Population) -> list[str]:
        fewest = counted(self.fewest(job), "update")
        enough = counted(self._shares(job), "client")
        return [
            *super().describe(job, population),
            f"privacy: a round with fewer than {fewest} is void; the noise of {enough} is enough",
        ]

    def _shares(self, job: Job) -> int:
        """Return how many shares make up the noise of ``noise_multiplier``."""
        return self.fewest(job) - self.colluding

    def _units(self, job: Job, weight: float, size: int, bits: int) -> float:
        """Return the deviation of a client's share, in units of the sum; see ``noise_share``."""
        moves = sensitivity(clip_of(job).norm, weight, size, bits)
        return self.multiplier * moves * 2.0**bits / math.sqrt(self._shares(job))
