"""What all actors of split learning know: the halves of the model, and whose step is when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mpifl.job import Job
from mpifl.objectives.make import make_objective
from mpifl.objectives.objective import Objective
from mpifl.population.population import Population
from mpifl.protocols.cut import Cut, cut_of
from mpifl.protocols.half_steps import samples_of_step, steps_of_round
from mpifl.seeds import Purpose, number
from mpifl.training.recipe import Recipe, recipe_of_round

BOTTOM, TOP = 0, 1


@dataclass(frozen=True)
class Halves:
    """What all actors of split learning know.

    A message's round counts local steps: ``longest`` of them to a round of the job.

    Attributes:
        job: The job.
        cut: The two halves of the model.
        objective: The loss.
        targets: The dtype of targets; they travel as float32.
        samples: The samples of every client (clients,).
        steps: Its local steps in a round of the job.
        longest: The largest of these.
    """

    job: Job
    cut: Cut
    objective: Objective
    targets: torch.dtype
    samples: np.ndarray
    steps: np.ndarray
    longest: int

    @property
    def clients(self) -> int:
        """How many clients there are; the server that trains has this number."""
        return len(self.samples)

    def round_of(self, round_number: int, step: int = 0) -> int:
        """Return the round of messages that a local step (from 0 on) of a round of the job has."""
        return (round_number - 1) * self.longest + step + 1

    def place(self, message_round: int) -> tuple[int, int]:
        """Return the round of the job and the local step of a round of messages."""
        before, step = divmod(message_round - 1, self.longest)
        return before + 1, step

    def batch(self, client: int, message_round: int) -> int:
        """Return how many samples a client has in a local step."""
        training = self.job.training
        step = self.place(message_round)[1]
        held = int(self.samples[client])
        return samples_of_step(held, training.batch_size, training.drops_last, step)

    def recipe(self, round_number: int) -> Recipe:
        """Return how the local steps of a round of the job are made."""
        return recipe_of_round(self.job, round_number)

    def torch_seed(self, round_number: int, client: int, step: int, half: int) -> int:
        """Return the seed of layers that draw, for one local step of a half."""
        return number(self.job.seed, Purpose.HALF, round_number, client, step, half)

    def passes(self, client: int, message_round: int, share: float) -> float:
        """Return passes over a client's samples that cost a share of a minibatch's pass."""
        return share * self.batch(client, message_round) / int(self.samples[client])


def halves_of(job: Job, population: Population, after: int | str | None) -> Halves:
    """Return the halves of a job's model, cut after a layer. Raises InputError."""
    samples = population.samples(np.arange(population.clients))
    steps = steps_of_round(job.training, samples)
    data = population.data
    objective = make_objective(job, data, cuts=True)
    y = data.train.y
    return Halves(
        job=job,
        cut=cut_of(job, objective.model_shape(data.shape), after),
        objective=objective,
        targets=torch.int64 if y is None else torch.from_numpy(y[:0]).dtype,
        samples=samples,
        steps=steps,
        longest=int(steps.max()),
    )
