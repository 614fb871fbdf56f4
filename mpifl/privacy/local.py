"""The base class of the mechanisms of clients that trust nobody: noise on what they upload."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from mpifl.privacy.budget import Budgeted
from mpifl.privacy.privacy import MakeGenerator, Spent

if TYPE_CHECKING:
    import torch


class Local(Budgeted):
    """Base of the mechanisms whose clients scale their update down and add noise to it.

    A mechanism has to have ``length``, ``noise`` and ``epsilon_of``. They do so before
    ``exchange.up``, whose stages see the noisy update, and so does the server: any stage and any
    aggregation rule will do. Two updates of a client are neighbours, whatever they are, so that one
    moves the other by 2 norms. A participation counts, whether its update does or not. With an
    asynchronous clock a client may have several in a round, when it drops out and is asked again.
    """

    local: ClassVar[bool] = True

    norm: float = Field(1.0, gt=0, description="bound on an update; longer ones are scaled down")

    def length(self, update: np.ndarray) -> float:
        """Return the length of an update, in the norm that ``norm`` bounds."""
        raise NotImplementedError

    def noise(self, size: int, random: np.random.Generator) -> np.ndarray:
        """Return noise (size,) for a noise multiplier and a norm of 1."""
        raise NotImplementedError

    def released(self, counted: np.ndarray, ended: np.ndarray) -> np.ndarray:
        return ended

    def worst(self, rounds: int) -> Spent:
        return Spent(rounds, self.participations or rounds)

    def allowed(self, rounds: int) -> int | None:
        return super().allowed(rounds) if self.epsilon is None else self.worst(rounds).most

    def upload(self) -> tuple[float, float]:
        return self.norm, self.multiplier * self.norm

    def perturb(
        self, update: torch.Tensor, model: torch.Tensor, make_generator: MakeGenerator
    ) -> torch.Tensor:
        import torch

        values = update.detach().cpu().numpy().astype(np.float64)
        bounded = values * min(1.0, self.norm / max(self.length(values), 1e-300))
        if self.multiplier:
            scale = self.multiplier * self.norm
            bounded += scale * self.noise(len(values), make_generator())
        return torch.from_numpy(bounded.astype(np.float32)).to(update.device)
