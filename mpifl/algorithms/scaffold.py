"""SCAFFOLD: control variates against client drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm, ClientContext, State
from mpifl.errors import InputError
from mpifl.job import Job

if TYPE_CHECKING:
    import torch


class Scaffold(Algorithm):
    """Karimireddy et al., arXiv 1910.06378, algorithm 1 with option II for the client's control variate.

    Client: y = y - lr (g + c - c_i), K steps;  c_i+ = c_i - c + (x - y) / (K lr).  Server, over the S that took part of N
    clients: x = x + server_lr mean(y - x);  c = c + S/N mean(c_i+ - c_i).  Both means are unweighted, as in the paper.
    """

    sent = ("model", "control")
    summed = ("update", "control")
    keeps_state = True

    name: str = "scaffold"
    server_lr: float = Field(1.0, gt=0, description="the paper's eta_g")

    def check(self, job: Job) -> None:
        """See Algorithm."""
        if job.clock.asynchronous:
            raise InputError(f"clock.mode: {job.clock.mode} is not allowed: scaffold's clients take part in turn (sync, ...)")
        for key in ("momentum", "weight_decay"):
            if getattr(job.training, key):
                value = getattr(job.training, key)
                raise InputError(f"training.{key}: {value} is not allowed: scaffold's control variates take plain SGD (0)")

    def weight(self, samples: np.ndarray) -> np.ndarray:
        """See Algorithm."""
        return np.ones(len(samples))

    def start(self, model: np.ndarray) -> State:
        """See Algorithm."""
        return {"model": model, "control": np.zeros_like(model)}

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        """See Algorithm."""
        gradient.add_(context.sent["control"][: len(gradient)])
        if context.kept is not None:
            gradient.sub_(context.kept[: len(gradient)])

    def contribute(self, update: torch.Tensor, context: ClientContext) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """See Algorithm."""
        kept = update.new_zeros(update.shape) if context.kept is None else context.kept
        fresh = kept - context.sent["control"] - update / (context.steps * context.lr)
        return {"update": update, "control": fresh - kept}, fresh

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        """See Algorithm."""
        model = state["model"] + self.server_lr * mean["update"]
        control = state["control"] + participants / clients * mean["control"]
        return {"model": model.astype(np.float32), "control": control.astype(np.float32)}
