"""Ditto: a personal model beside the global one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.algorithms.arrays import MODEL
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train, Trained
from mpifl.clock.cost import Cost
from mpifl.models.layout import Layout
from mpifl.optimizers.adjust import proximal

if TYPE_CHECKING:
    import torch


class Ditto(FedAvg):
    """Li et al., arXiv 2012.04221, algorithm 1, with FedAvg as its solver G.

    Each client trains the global model w as in FedAvg, and a personal model v from where it left it
    (at first from w): v = v - lr (g + lam (v - w)). Both take the planned local steps.
    """

    kept = {"personal": MODEL}

    name: str = "ditto"
    lam: float = Field(
        0.1, ge=0, description="pull of the personal model towards the global one (lambda)"
    )

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=2)

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        shared: Trained = yield Train(model)
        personal: Trained = yield Train(
            c.kept.get("personal", model), adjust=proximal(model, self.lam)
        )
        return Upload(update=shared.update, keep={"personal": personal.weights})

    def personal(self, c: ClientContext) -> torch.Tensor:
        return c.kept.get("personal", c.received["model"])
