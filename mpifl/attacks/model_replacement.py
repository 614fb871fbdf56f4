"""A backdoor: samples with a trigger get the attacker's label; the update replaces the model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mpifl.attacks.attack import Attack, Attacker
from mpifl.attacks.classes import check_classes, with_target
from mpifl.errors import InputError

if TYPE_CHECKING:
    import torch

    from mpifl.datasets.dataset import Dataset


class ModelReplacement(Attack):
    """An attack: a backdoor by model replacement (Bagdasaryan et al., AISTATS 2020).

    The first ``poisoned`` share of each minibatch gets the trigger and the label ``target``, as in
    the authors' code (arXiv 1807.00459), and ``factor`` times the update is sent. With as many
    participants as ``factor`` and equal weights, the mean is then the attacker's model. The trigger
    is a square of ``size`` x ``size`` values in the last corner of the last two dimensions of a
    sample; of a sample with one dimension it is the last size**2 values.

    The attack succeeds on a test sample of another class when the model gives it ``target`` once it
    has the trigger.
    """

    name: str = "model_replacement"
    target: int = Field(0, ge=0, description="the label of samples with the trigger")
    poisoned: float = Field(0.5, gt=0, le=1, description="share of a minibatch that is poisoned")
    size: int = Field(2, ge=1, description="width of the trigger")
    value: float = Field(
        1.0, ge=-1e38, le=1e38, description="what the model sees in the place of the trigger"
    )
    factor: float = Field(1.0, gt=0, description="how many times the update is sent")

    def check(self, data: Dataset) -> None:
        check_classes(self.name, data, {"target": self.target})
        shape = data.train.x.shape[1:]
        room = min(shape[-2:]) if len(shape) > 1 else math.isqrt(math.prod(shape))
        if data.vocabulary or self.size > room:
            why = "samples are tokens" if data.vocabulary else f"samples of {tuple(shape)}"
            raise InputError(
                f"attacks.size: {self.size} is not allowed with attack {self.name}: {data.name} has"
                f" {why}; allowed: 1 to {0 if data.vocabulary else room}"
            )

    def poison(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count = math.ceil(self.poisoned * len(x))
        self._stamp(x[:count])
        y[:count] = self.target
        return x, y

    def labels(self, y: np.ndarray, classes: int) -> np.ndarray:
        return with_target(y, self.target, self.poisoned)

    def change(self, update: torch.Tensor, attacker: Attacker) -> torch.Tensor:
        return update * self.factor

    def aim(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, first: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        self._stamp(x)
        others = y != self.target
        return x[others], torch.full_like(y[others], self.target)

    def _stamp(self, x: torch.Tensor) -> None:
        """Put the trigger on samples, in place."""
        if x.dim() > 2:
            x[..., -self.size :, -self.size :] = self.value
        else:
            x[..., -(self.size**2) :] = self.value
