"""What the stacked engine trains: the models of several clients side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from mpifl.training.participant import Participant


class Stack(Protocol):
    """Several clients at work on ``weights`` of theirs, a tensor (clients, *shape) of each kind; steps change them in place."""

    weights: list[torch.Tensor]

    def begin(self, group: Sequence[Participant]) -> None:
        """The first steps of a group come now."""

    def state(self) -> list[torch.Tensor]:
        """All that steps change."""

    def step(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """A step of the first clients, as many as x (clients, samples, ...) has; returns their losses (clients,).

        ``mask`` (clients, samples) bool: which samples count; None when all do.
        """
