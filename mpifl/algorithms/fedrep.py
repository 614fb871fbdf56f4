"""FedRep: each client fits a head of its own first, and then the shared layers below it."""

from __future__ import annotations

from pydantic import Field

from mpifl.algorithms.context import ClientContext, Program
from mpifl.algorithms.fedper import FedPer
from mpifl.algorithms.requests import Train, Trained
from mpifl.clock.cost import Cost
from mpifl.models.layout import Layout


class FedRep(FedPer):
    """Collins et al., arXiv 2102.07078, algorithm 1.

    A client makes ``head_steps`` local steps of its own head h (at first the initial one) with the
    representation phi that it received, and then the planned local steps of phi with h fixed. The
    paper has one step of phi there, and in its experiments one pass: ``training.epochs: 1``. It
    keeps h and uploads phi, whose mean is unweighted, as in the paper.
    """

    weighs_samples = False

    name: str = "fedrep"
    head_steps: int = Field(
        10,
        ge=0,
        le=1_000_000,
        description="local steps of the head, tau; the paper's experiments make 10 passes",
    )

    def cost(self, layout: Layout) -> Cost:
        return Cost(extra_steps=self.head_steps)

    def client(self, c: ClientContext) -> Program:
        model = self.own_model(c)
        if self.head_steps:
            head = frozenset(self.head_of(c.layout))
            fitted: Trained = yield Train(model, steps=self.head_steps, trainable=head)
            model = fitted.weights

        trained: Trained = yield Train(model, trainable=self.body_of(c.layout))
        own = self.own_part(c, trained.weights)
        return self.upload(c, trained.update, trained.weights, own=own)
