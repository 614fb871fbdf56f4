"""The base class of the mechanisms of differential privacy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from mpifl.job.section import Section

if TYPE_CHECKING:
    import torch

    from mpifl.job import Job
    from mpifl.population.population import Population

MakeGenerator = Callable[..., np.random.Generator]
"""(keys) -> a generator that depends on the job's seed, a purpose and the keys."""


class Spent(NamedTuple):
    """What a run has released.

    Attributes:
        rounds: The rounds that are over.
        most: The largest number of participations of a client, squared where they count together
            (``participations.py``).
    """

    rounds: int
    most: int


class PrivateRound(NamedTuple):
    """What the record says of a round.

    Attributes:
        epsilon: What was spent until then.
        norm: The bound on an update.
        noise: The standard deviation of the noise on each number of the mean, or of an upload.
    """

    epsilon: float
    norm: float
    noise: float


NOT_PRIVATE = PrivateRound(math.nan, math.nan, math.nan)


class Privacy(Section):
    """Base of the mechanisms (``privacy.name``).

    An instance holds the mechanism's keys and never changes. What it draws depends on the
    generators that it is given, and these on the job's seed, the round and the client.

    Attributes:
        private: Whether anything is protected.
        central: Whether the server adds noise to the mean of a round.
        local: Whether clients change what they upload.
        of_model: Whether clients change the model that their update makes, and not the update.
        shared: Whether clients add the noise of a sum that is aggregated securely, a share each.
        knows_rounds: Whether its noise in a round depends on how many rounds the run has.
        library: A library that its account needs. Ranks compare its version.
    """

    private: ClassVar[bool] = True
    """Whether anything is protected."""
    central: ClassVar[bool] = False
    """Whether the server adds noise to the mean of a round."""
    local: ClassVar[bool] = False
    """Whether clients change what they upload."""
    of_model: ClassVar[bool] = False
    """Whether clients change the model that their update makes, and not the update."""
    shared: ClassVar[bool] = False
    """Whether clients add the noise of a sum that is aggregated securely, a share each."""
    knows_rounds: ClassVar[bool] = False
    """Whether its noise in a round depends on how many rounds the run has."""
    library: ClassVar[str] = ""
    """A library that its account needs. Any rank may come to compute it; ranks compare versions."""

    name: str

    def check(self, job: Job, population: Population) -> None:
        """Check that the mechanism goes with the rest of a job.

        Raises:
            InputError: It does not; the message names the key.
        """

    def resolved(self, job: Job, population: Population) -> Privacy:
        """Return the mechanism with what its budget leaves open filled in.

        Raises:
            InputError: The budget cannot be kept, or its library is missing.
        """
        return self

    def weight(self, samples: np.ndarray) -> np.ndarray | None:
        """Return the weights of clients in the mean (clients,); None: those of the algorithm.

        Args:
            samples: The number of samples of each client, (clients,) int64.
        """
        return None

    def joined(self, last: int, now: int) -> bool:
        """Return whether participations of a client in two rounds count together, as one of twice.

        Args:
            last: The round of the one before.
            now: The round of this one.
        """
        return False

    def allowed(self, rounds: int) -> int | None:
        """Return the most that ``Spent.most`` may come to in so many rounds; None: no limit."""
        return None

    def released(self, counted: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """Return the clients that a round has released something of.

        Args:
            counted: Those whose updates count, int64.
            ended: Those whose participation has ended in the round, int64.
        """
        return counted

    def fewest(self, job: Job) -> int:
        """Return how many updates a round has at least: one with fewer is void. By default 0.

        Only of a job with secure aggregation.
        """
        return 0

    def upload(self) -> tuple[float, float]:
        """Return the bound and the deviation of the noise on an upload, where it is ``local``."""
        return math.nan, math.nan

    def after_mean(self, job: Job) -> float:
        """Return the deviation of noise that the server adds to the mean of what it was sent.

        Of a mechanism that is not ``central``; it counts for nothing. By default 0.
        """
        return 0.0

    def epsilon_of(self, spent: Spent, job: Job, population: Population) -> float:
        """Return the epsilon that was spent, at the job's delta.

        Args:
            spent: What the run has released.
            job: Resolved.
            population: The clients.
        """
        return math.nan

    def describe(self, job: Job, population: Population) -> list[str]:
        """Return lines about the budget for ``mpifl check``."""
        return []

    def perturb(
        self, update: torch.Tensor, model: torch.Tensor, make_generator: MakeGenerator
    ) -> torch.Tensor:
        """Return what a client uploads in place of its update, of a mechanism that is ``local``.

        Args:
            update: The array that the algorithm uploads, (size,) float32; not to be changed.
            model: The trained segment of the model that the client received, (size,) float32.
            make_generator: Return a generator that depends on (seed, round, client).
        """
        return update
