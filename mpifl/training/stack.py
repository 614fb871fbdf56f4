"""The interface of a group: the models of several clients, trained as one computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from mpifl.models.flat import FlatModel
from mpifl.training.participant import Participant
from mpifl.training.recipe import Recipe

MOST_KINDS = 4
"""The most kinds of groups for which tensors and captured steps are kept."""

Take = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, int], torch.Tensor]
"""The signature of ``Stack.step``."""


class Stack(Protocol):
    """The models of a group, side by side.

    ``weights`` holds one tensor (clients, *shape) for each trained parameter. Steps change them in
    place.
    """

    weights: list[torch.Tensor]

    def begin(self, recipe: Recipe, group: Sequence[Participant]) -> None:
        """Prepare for the first step of a group; ``weights`` are already set.

        The adjustments of all participants have the same ``pull``.
        """

    def state(self) -> list[torch.Tensor]:
        """Return all tensors that a step changes.

        They are the same tensors for every group of the same shapes and settings, as long as few
        others (MOST_KINDS) come between.
        """

    def step(
        self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None, number: int
    ) -> torch.Tensor:
        """Make one step of the first clients of the group, and return their losses.

        Args:
            x: Samples (clients, samples, ...).
            y: Their targets.
            mask: Which samples count (clients, samples) bool, None when all do.
            number: Which step it is, from 0 on.

        Returns:
            The mean losses (clients,); or, with ``recipe.squares``, (2, clients): those, and the
            means of the samples' squared losses.
        """


def stacked_vectors(
    model: FlatModel, vectors: Sequence[torch.Tensor | None]
) -> list[torch.Tensor] | None:
    """Return the trained tensors of a group's vectors (size,), each (clients, *shape).

    A vector that is None is 0; None where all are. A vector that all clients share has one row.
    """
    known = next((vector for vector in vectors if vector is not None), None)
    if known is None:
        return None
    if all(vector is known for vector in vectors):
        rows = known.unsqueeze(0)
    else:
        zero = torch.zeros_like(known)
        rows = torch.stack([zero if vector is None else vector for vector in vectors])
    return model.split(rows)[: len(model.parameters)]
