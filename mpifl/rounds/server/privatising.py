"""``privacy`` at work on rank 0: the bound of a round, its noise, and what it has spent.

Noise is drawn for the numbers of the mean, from generators of its own, when the sum of all ranks
has come; so its bits do not depend on the ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from mpifl.algorithms.arrays import Arrays
from mpifl.errors import TrainingError
from mpifl.privacy.bound import ROUNDED, clip_of
from mpifl.privacy.central import Central, NoiseStream
from mpifl.privacy.discrete import MOST_DEVIATION, discrete_gaussian
from mpifl.privacy.participations import Participations
from mpifl.privacy.privacy import NOT_PRIVATE, PrivateRound, Spent
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.experiment.ways import STEERED
from mpifl.rounds.plan.plan import Plan, is_released
from mpifl.seeds import Purpose, generator


@dataclass(frozen=True)
class Release:
    """What a round releases, of a mechanism that is ``central``.

    Attributes:
        norm: The bound on an update.
        scale: By what the mean of the updates is multiplied.
        moves: By how much one client moves that, as a Euclidean norm.
        multiplier: The noise multiplier.
        count: The standard deviation of the noise on what clients tell of the bound.
        updates: How many updates the round waits for.
    """

    norm: float
    scale: float
    moves: float
    multiplier: float
    count: float
    updates: int

    @property
    def deviation(self) -> float:
        """The standard deviation of the noise on each number of the mean."""
        return self.multiplier * self.moves


class RoundNoise:
    """What a server does for privacy in a round: nothing, of a mechanism of clients.

    Attributes:
        scale: By what the sum is multiplied, None: as the algorithm says.
    """

    scale: float | None = None

    def on_sum(self, vectors: np.ndarray) -> np.ndarray:
        """Return the round's sum, (total,) int64, with noise that is drawn in whole units."""
        return vectors

    def on_mean(self, means: Arrays) -> Arrays:
        """Return the round's mean, float64 by name, with noise on the trained segment."""
        return means

    def on_told(self, told: np.ndarray) -> np.ndarray:
        """Return what clients told of the bound that adapts, 0 or 1 each; or its mean (1,)."""
        return told


@dataclass(frozen=True)
class MeanNoise(RoundNoise):
    """Noise of a ``deviation`` on the first ``size`` numbers of the mean."""

    deviation: float
    size: int
    random: np.random.Generator

    def on_mean(self, means: Arrays) -> Arrays:
        return with_noise(means, self.deviation * self.random.standard_normal(self.size))


class CentralNoise(RoundNoise):
    """The noise of a mechanism that is ``central``."""

    def __init__(
        self, experiment: Experiment, stream: NoiseStream, release: Release, round_number: int
    ) -> None:
        self.scale = release.scale
        self._experiment = experiment
        self._stream = stream
        self._release = release
        self._round = round_number

    def on_sum(self, vectors: np.ndarray) -> np.ndarray:
        summed = self._experiment.sums.arrays[0]
        if not (self._whole and self._adds):
            return vectors
        units = self._release.deviation / self._release.scale * 2.0**summed.bits
        if units > MOST_DEVIATION:
            raise TrainingError(
                f"privacy.noise: noise of {self._release.deviation:g} is too large to be drawn as"
                " whole units of the sum; a smaller bound on updates, or continuous noise"
            )
        return vectors + discrete_gaussian(units, summed.size, self._generator(Purpose.NOISE))

    def on_mean(self, means: Arrays) -> Arrays:
        if self._whole or not self._adds:
            return means
        return with_noise(means, self._release.deviation * self._stream(self._round))

    def on_told(self, told: np.ndarray) -> np.ndarray:
        """Return the mean (1,) of what clients told, with noise.

        It is a share of the updates that the round waits for; a client that is missing counts 1/2.
        """
        noise = self._release.count * self._generator(Purpose.COUNT_NOISE).standard_normal()
        return np.array([0.5 + ((told - 0.5).sum() + noise) / self._release.updates])

    @property
    def _adds(self) -> bool:
        """Whether the server adds noise: not where clients have done it."""
        return self._release.multiplier > 0 and not self._experiment.job.privacy.shared

    @property
    def _whole(self) -> bool:
        mechanism = self._experiment.job.privacy
        return isinstance(mechanism, Central) and mechanism.whole

    def _generator(self, purpose: Purpose) -> np.random.Generator:
        return generator(self._experiment.job.seed, purpose, self._round)


def with_noise(means: Arrays, noise: np.ndarray) -> Arrays:
    """Return the one mean with noise (size,) on its first numbers."""
    ((name, mean),) = means.items()
    noisy = mean.copy()
    noisy[: len(noise)] += noise
    return {name: noisy}


def noise_stream(experiment: Experiment) -> NoiseStream | None:
    """Return the noise of the server's rounds; None of a mechanism that is not ``central``."""
    job = experiment.job
    if not isinstance(job.privacy, Central):
        return None
    make_generator = partial(generator, job.seed, Purpose.NOISE)
    return job.privacy.stream(experiment.sums.arrays[0].size, make_generator)


def noise_of_round(
    experiment: Experiment,
    stream: NoiseStream | None,
    state: Arrays,
    tasks: np.ndarray,
    round_number: int,
) -> RoundNoise:
    """Return what the server does for privacy in a round.

    Args:
        experiment: The job and its model.
        stream: As ``noise_stream`` returned it.
        state: The server's state before the round.
        tasks: Those of the round (structured TASK).
        round_number: From 1 on.
    """
    if stream is not None:
        release = release_of(experiment, state, tasks)
        return CentralNoise(experiment, stream, release, round_number)
    deviation = experiment.job.privacy.after_mean(experiment.job)
    if not deviation:
        return RoundNoise()
    random = generator(experiment.job.seed, Purpose.NOISE, round_number)
    return MeanNoise(deviation, experiment.sums.arrays[0].size, random)


def release_of(experiment: Experiment, state: Arrays, tasks: np.ndarray) -> Release:
    """Return what a round releases.

    Args:
        experiment: The job and its model.
        state: The server's state before the round.
        tasks: Those of the round (structured TASK); none where nobody was asked.
    """
    job = experiment.job
    mechanism = job.privacy
    assert isinstance(mechanism, Central)
    updates = job.clock.updates(job.selection.participants)
    norm = clip_of(job).norm
    multiplier, count = mechanism.multiplier_of(len(tasks), job), 0.0
    if experiment.steered is not None:
        norm = float(state[STEERED][0])
        multiplier, count = mechanism.shares(updates)
    samples = experiment.population.samples(tasks["client"])
    scale, most = mechanism.counted(samples, updates)

    summed = experiment.sums.arrays[0]
    widest = max(1.0, job.clock.at_once(updates) / updates)  # alike in all rounds
    rounding = 0.5 * math.sqrt(summed.size) * 2.0**-summed.bits * widest
    moves = most * norm * ROUNDED + rounding
    return Release(norm, scale, moves, multiplier, count, updates)


# The account


def spend(
    experiment: Experiment, participations: Participations, plan: Plan, state: Arrays
) -> PrivateRound:
    """Count a round's participants, before its step is taken, and return what the record says.

    Args:
        experiment: The job and its population.
        participations: Those of the rounds before; the round's are added.
        plan: The round.
        state: The server's state before the round.

    Raises:
        TrainingError: A client takes part more often than the budget was made for.
    """
    job = experiment.job
    mechanism = job.privacy
    if not mechanism.private:
        return NOT_PRIVATE

    clients = mechanism.released(plan.tasks["client"], plan.timeline.participants["client"])
    rows = participations.after(clients, plan.round_number, mechanism.joined)
    allowed = mechanism.allowed(job.rounds)
    for client, (closed, count, _) in rows.items():
        if allowed is not None and closed + count**2 > allowed:
            raise TrainingError(
                f"privacy.participations: client {client} takes part more often than the noise is"
                " made for; the round is not released (allow more, or have each client asked less"
                " often, as by selection.name round_robin)"
            )
    participations.add(rows)
    spent = Spent(plan.round_number, participations.most)
    epsilon = mechanism.epsilon_of(spent, job, experiment.population)
    if not isinstance(mechanism, Central):
        return PrivateRound(epsilon, *mechanism.upload())
    if not is_released(job, plan):
        return PrivateRound(epsilon, math.nan, math.nan)
    release = release_of(experiment, state, plan.tasks)
    return PrivateRound(epsilon, release.norm, release.deviation)
