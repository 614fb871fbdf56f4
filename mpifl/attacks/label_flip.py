"""Attackers train with wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from mpifl.attacks.attack import Attack
from mpifl.attacks.classes import check_classes

if TYPE_CHECKING:
    import torch

    from mpifl.datasets.dataset import Dataset


class LabelFlip(Attack):
    """An attack: labels are exchanged before training (Tolpegin et al., arXiv 2007.08432).

    With ``source`` and ``target`` the samples of one class get the label of the other. Without, of
    C classes c becomes C - 1 - c (Fang et al., arXiv 1911.11815). The attack succeeds on a test
    sample of a class that is exchanged when the model gives it the wrong label that was trained.
    """

    name: str = "label_flip"
    source: int | None = Field(None, ge=0, description="the class whose label is changed")
    target: int | None = Field(None, ge=0, description="the label that its samples get")

    @model_validator(mode="after")
    def _pair(self) -> LabelFlip:
        if (self.source is None) != (self.target is None):
            raise ValueError("give source and target, or neither")
        if self.source is not None and self.source == self.target:
            raise ValueError("source and target have to be two classes")
        return self

    def check(self, data: Dataset) -> None:
        check_classes(self.name, data, {"source": self.source, "target": self.target})

    def poison(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return x, self._flipped(y, classes)

    def labels(self, y: np.ndarray, classes: int) -> np.ndarray:
        import torch

        return self._flipped(torch.tensor(y), classes).numpy()

    def aim(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, first: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = self._flipped(y, classes)
        against = wanted != y
        return x[against], wanted[against]

    def _flipped(self, y: torch.Tensor, classes: int) -> torch.Tensor:
        """Return the labels with which attackers train."""
        if self.source is None or self.target is None:
            return classes - 1 - y
        wrong = y.clone()
        wrong[y == self.source] = self.target
        return wrong
