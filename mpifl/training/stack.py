"""The interface of a group: the models of several clients, trained as one computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from mpifl.training.participant import Participant


class Stack(Protocol):
    """The models of a group, side by side.

    ``weights`` holds one tensor (clients, *shape) for each trained parameter. Steps change them in
    place.
    """

    weights: list[torch.Tensor]

    def begin(self, group: Sequence[Participant]) -> None:
        """Prepare for the first step of a group; ``weights`` are already set."""

    def state(self) -> list[torch.Tensor]:
        """Return all tensors that a step changes."""

    def step(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Make one step of the first clients of the group, and return their losses (clients,).

        ``x`` (clients, samples, ...) says how many clients; ``mask`` (clients, samples) bool says
        which samples count, None when all do.
        """
