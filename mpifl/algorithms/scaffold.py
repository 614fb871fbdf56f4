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
    """Karimireddy et al., arXiv 1910.06378, algorithm 1 with option II for the client's variate.

    Client, K steps: y = y - lr (g + c - c_i); then c_i+ = c_i - c + (x - y) / (K lr).
    Server, for S participants of N clients: x = x + server_lr mean(y - x);
    c = c + S/N mean(c_i+ - c_i). Both means are unweighted, as in the paper.
    """

    sent = ("model", "control")
    summed = ("update", "control")
    keeps_state = True

    name: str = "scaffold"
    server_lr: float = Field(1.0, gt=0, description="the paper's eta_g")

    def check(self, job: Job) -> None:
        if job.clock.asynchronous:
            raise InputError(
                f"clock.mode: {job.clock.mode} is not allowed: scaffold needs rounds in which all"
                " participants train from the same model (sync, ...)"
            )

        for key in ("momentum", "weight_decay"):
            value = getattr(job.training, key)
            if value:
                raise InputError(
                    f"training.{key}: {value} is not allowed: scaffold's control variates assume"
                    " plain SGD; allowed: 0"
                )

    def weight(self, samples: np.ndarray) -> np.ndarray:
        return np.ones(len(samples))

    def start(self, model: np.ndarray) -> State:
        return {"model": model, "control": np.zeros_like(model)}

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        gradient.add_(context.sent["control"][: len(gradient)])
        if context.kept is not None:
            gradient.sub_(context.kept[: len(gradient)])

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        kept = update.new_zeros(update.shape) if context.kept is None else context.kept
        fresh = kept - context.sent["control"] - update / (context.steps * context.lr)
        return {"update": update, "control": fresh - kept}, fresh

    def step(self, state: State, mean: State, participants: int, clients: int) -> State:
        model = state["model"] + self.server_lr * mean["update"]
        control = state["control"] + participants / clients * mean["control"]
        return {"model": model.astype(np.float32), "control": control.astype(np.float32)}
