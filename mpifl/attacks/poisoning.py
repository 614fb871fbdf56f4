"""Attackers train on samples that a transform has changed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, SerializeAsAny, field_validator

from mpifl.attacks.attack import Attack
from mpifl.errors import keys_at
from mpifl.transforms import REGISTRY
from mpifl.transforms.transform import Mixture, Transform

if TYPE_CHECKING:
    import torch

    from mpifl.datasets.dataset import Dataset

ALLOWED = [name for name in REGISTRY if name not in ("none", "mixup")]
"""Not what changes nothing, or gives samples two targets."""


class Poisoning(Attack):
    """An attack: minibatches go through a transform of ``training.transform`` before training.

    Such as ``transform: {name: noise, deviation: 1}``.
    """

    name: str = "poisoning"
    transform: SerializeAsAny[Transform] = Field(
        {"name": "noise"},  # type: ignore[assignment]
        description="what is done to a minibatch, with its keys: a name of `training.transform`,"
        " but not none or mixup",
    )

    @field_validator("transform", mode="before")
    @classmethod
    def _with_its_class(cls, given: Any) -> Any:
        """Return the transform that a job names."""
        if isinstance(given, str):
            given = {"name": given}
        if isinstance(given, Transform):
            return given
        name = given.get("name") if isinstance(given, dict) else given
        if name not in ALLOWED:
            raise ValueError(f"allowed are {', '.join(ALLOWED)}")
        module, _, kind = REGISTRY[name].partition(":")
        found: type[Transform] = getattr(importlib.import_module(module), kind)
        return found.model_validate(given)

    def check(self, data: Dataset) -> None:
        with keys_at("training.transform", "attacks.transform"):
            self.transform.check(data)

    def poison(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        changed, targets = self.transform.apply(x, y, random)
        assert not isinstance(targets, Mixture)
        return changed, targets
