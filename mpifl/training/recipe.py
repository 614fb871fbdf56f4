"""How local steps are made: what the participants of a group share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.job.schema import Training
from mpifl.optimizers.optimizer import Optimizer
from mpifl.transforms.transform import Transform


@dataclass(frozen=True)
class Recipe:
    """The settings of local steps; see the job's section ``training``.

    ``trainable`` names the parameters to train, None for all. ``transform`` changes minibatches;
    None leaves them as they are. With ``squares`` the squares of the samples' losses are measured.
    With ``early_stop`` a participant stops after an epoch whose mean loss is not below that of the
    epoch before by more than this share.
    """

    batch_size: int
    drop_last: bool
    lr: float
    optimizer: Optimizer
    lr_decay: float = 1.0
    clip_value: float | None = None
    clip_norm: float | None = None
    trainable: frozenset[str] | None = None
    transform: Transform | None = None
    squares: bool = False
    early_stop: float | None = None

    def lr_of(self, step: int) -> float:
        """Return the learning rate of a local step, counted from 0."""
        return self.lr * self.lr_decay**step if self.lr_decay != 1.0 else self.lr

    @property
    def linear(self) -> bool:
        """Whether a step is ``w -= lr (g + c w)`` of all parameters."""
        clips = self.clip_value is not None or self.clip_norm is not None
        return self.optimizer.pull is not None and not clips and self.trainable is None


def recipe_of(training: Training, lr: float, squares: bool = False) -> Recipe:
    """Return the recipe of a job, with the learning rate of a round."""
    return Recipe(
        batch_size=training.batch_size,
        drop_last=training.drops_last,
        lr=lr,
        optimizer=training.optimizer,
        lr_decay=training.lr_decay,
        clip_value=training.clip_value,
        clip_norm=training.clip_norm,
        transform=training.transform if training.transform.changes else None,
        squares=squares,
        early_stop=training.early_stop,
    )


def recipe_of_round(job: Job, round_number: int, squares: bool = False) -> Recipe:
    """Return the recipe of a round of a job, from 1 on, with the schedule's learning rate."""
    training = job.training
    lr = training.lr * training.schedule.factor(round_number, job.rounds)
    return recipe_of(training, lr, squares)


def clipped(recipe: Recipe, gradients: list[torch.Tensor], clients: int) -> list[torch.Tensor]:
    """Return gradients clipped by value and then by norm, as torch.nn.utils does.

    Args:
        recipe: Says what to clip.
        gradients: The gradient of each parameter; (clients, *shape) where ``clients`` is not 0.
        clients: The clients of a group, 0 for the tensors of a single client.
    """
    if recipe.clip_value is not None:
        bound = recipe.clip_value
        gradients = [gradient.clamp(-bound, bound) for gradient in gradients]
    if recipe.clip_norm is None:
        return gradients

    norms = (
        [gradient.reshape(clients, -1).norm(dim=1) for gradient in gradients]
        if clients
        else list(torch._foreach_norm(gradients))
    )
    norm = torch.stack(norms).norm(dim=0)
    factors = (recipe.clip_norm / (norm + 1e-6)).clamp(max=1.0)
    if not clients:
        return list(torch._foreach_mul(gradients, factors))
    return [gradient * factors.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]


def numbers_of(names: Sequence[str], trainable: frozenset[str] | None) -> list[int]:
    """Return which of the parameters ``names`` are trained, in their order.

    Raises InputError when ``trainable`` is empty, or names what is no parameter.
    """
    if trainable is None:
        return list(range(len(names)))

    unknown = sorted(trainable.difference(names))
    if unknown or not trainable:
        wrong = repr(unknown[0]) if unknown else "an empty set"
        raise InputError(
            f"Train.trainable: {wrong} is not allowed; allowed: one or more of {', '.join(names)}"
        )
    return [number for number, name in enumerate(names) if name in trainable]
