"""Local training: every client on its own, to compare federations with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import MODEL, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Train, Trained

if TYPE_CHECKING:
    import torch


class Local(Algorithm):
    """No federation: a client trains its own model from where it left it, at first the initial one.

    Nothing is sent in either direction, and the server's model stays the initial one.
    """

    received = {}
    uploaded = {}
    kept = {"model": MODEL}
    shares_averages = False

    name: str = "local"

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(self.personal(c))
        return Upload(keep={"model": trained.weights})

    def personal(self, c: ClientContext) -> torch.Tensor:
        return c.kept.get("model", c.initial)

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {}
