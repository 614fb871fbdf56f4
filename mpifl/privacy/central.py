"""The base class of the mechanisms of a server that is trusted: noise on the mean of a round."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from mpifl.errors import InputError
from mpifl.exchange.adaptive_clip import AdaptiveClip
from mpifl.job.section import Count
from mpifl.privacy.bound import clip_of
from mpifl.privacy.budget import Budgeted
from mpifl.privacy.privacy import MakeGenerator, Spent

if TYPE_CHECKING:
    from mpifl.job import Job
    from mpifl.population.population import Population

NoiseStream = Callable[[int], np.ndarray]
"""(round) -> the noise of a round, (size,) float64, for a sensitivity and a multiplier of 1."""


class Central(Budgeted):
    """Base of the mechanisms whose server adds noise to the mean of a round.

    A mechanism has to have ``stream`` and ``epsilon_of``. What is protected is all
    that a client sends, against those who see every model, but not the server: two runs are
    neighbours when one of them has a client's updates replaced by 0.
    """

    central: ClassVar[bool] = True

    weights: Literal["uniform", "capped"] = Field(
        "uniform",
        description="weight of an update: 1, or the client's samples up to `cap`; both bounded",
    )
    cap: Count | None = Field(None, description="with weights capped: the most samples that count")

    @model_validator(mode="after")
    def _capped(self) -> Central:
        if (self.weights == "capped") != (self.cap is not None):
            raise ValueError("weights: capped needs cap, and no other weights have one")
        return self

    def stream(self, size: int, make_generator: MakeGenerator) -> NoiseStream:
        """Return the noise of rounds.

        Args:
            size: The numbers of an update.
            make_generator: Return a generator that depends on (seed, keys).
        """
        raise NotImplementedError

    @property
    def adapts(self) -> bool:
        """Whether the bound may change from round to round."""
        return False

    @property
    def whole(self) -> bool:
        """Whether noise is drawn as whole units of the fixed-point sum (``discrete.py``)."""
        return False

    def shares(self, updates: int) -> tuple[float, float]:
        """Return the two noises of a mechanism that ``adapts``, with a bound that does.

        They are the multiplier of that on a mean, and the standard deviation of that on the number
        of clients whose update is shorter than the bound.

        Args:
            updates: How many updates a round waits for.
        """
        raise NotImplementedError

    def worst(self, rounds: int) -> Spent:
        return Spent(rounds, min(rounds, self.participations or rounds))

    def multiplier_of(self, updates: int, job: Job) -> float:
        """Return the noise multiplier of a round with so many updates."""
        return self.multiplier

    def noise_share(
        self, job: Job, weight: float, size: int, bits: int, random: np.random.Generator
    ) -> np.ndarray:
        """Return what a client adds to its update's term of the sum, where noise is ``shared``.

        Args:
            job: Resolved.
            weight: The weight of the update in the sum.
            size: The numbers of an update.
            bits: The unit of the sum is 2**-bits.
            random: What to draw with; it depends on (seed, round, client).

        Returns:
            Whole units, (size,) int64.
        """
        raise NotImplementedError

    def check_units(self, job: Job, size: int, bits: int) -> None:
        """Check that noise that is ``shared`` can be drawn as whole units; see ``noise_share``.

        Raises:
            InputError: It cannot.
        """

    def weight(self, samples: np.ndarray) -> np.ndarray:
        if self.cap is None:
            return np.ones(len(samples))
        return np.minimum(samples, self.cap).astype(np.float64)

    def counted(self, samples: np.ndarray, updates: int) -> tuple[float, float]:
        """Return by what a round's mean is to be multiplied, and the most that one client counts.

        Uniform weights are shares of ``updates``, however many come; capped ones are shares of
        their sum.

        Args:
            samples: Those of the round's clients, (tasks,) int64; empty where nobody was asked.
            updates: How many updates the round waits for.
        """
        if self.cap is None:
            return max(1, len(samples)) / updates, 1 / updates
        return 1.0, self.cap / float(np.sort(self.weight(samples)).sum())

    def check(self, job: Job, population: Population) -> None:
        super().check(job, population)
        where = f"not allowed with privacy.name {self.name}"
        clip = clip_of(job)
        if isinstance(clip, AdaptiveClip) and not self.adapts:
            raise InputError(
                f"exchange.up.{job.exchange.up.index(clip)}.name: {clip.name!r} is {where}, whose"
                " noise in a round belongs to those before it; allowed: clip"
            )
        if isinstance(clip, AdaptiveClip) and job.clock.asynchronous:
            raise InputError(
                f"clock.mode: {job.clock.mode!r} is {where} and adaptive_clip: updates of a round"
                " have the bounds of several; allowed: sync, all, deadline"
            )
        if job.clock.shares_of_all:
            raise InputError(
                f"clock.mode: {job.clock.mode!r} is {where}: the weight of an update depends on"
                " those of others, who are under way; allowed: others"
            )
        if self.cap is None and not job.clock.wanted(job.selection.participants):
            raise InputError(
                f"clock.mode: {job.clock.mode!r} is {where}: an update counts as a share of those"
                " that a round waits for, and it waits for none; allowed: others, or"
                " privacy.weights capped"
            )
        if self.cap is not None and job.selection.varies:
            raise InputError(
                f"privacy.weights: 'capped' is not allowed with selection.name"
                f" {job.selection.name}, whose rounds may have nobody, and so no weights that add"
                " up; allowed: uniform"
            )
        self._refuse(job, where)

    def _refuse(self, job: Job, where: str) -> None:
        """Raise InputError for parts of a job that see more of an update than a bounded sum."""
        if job.aggregation.name != "mean":
            raise InputError(
                f"aggregation.name: {job.aggregation.name!r} is {where}: what one update changes is"
                " bounded for a mean alone; allowed: mean"
            )
        if job.algorithm.needs_products:
            raise InputError(
                f"algorithm.name: {job.algorithm.name!r} is {where}: it looks at inner products of"
                " updates, which have no noise; allowed: algorithms such as fedavg"
            )
        if job.selection.norms:
            raise InputError(
                f"selection.name: {job.selection.name!r} is {where}: it sees the norms of single"
                " updates, which have no noise; allowed: rules such as uniform"
            )
        if job.clock.costs != "declared":
            raise InputError(
                f"clock.costs: 'measured' is {where}: who completes a round would depend on"
                " clients' data; allowed: declared"
            )
