"""FedBABU: the head is never trained while the layers below it are learnt together."""

from __future__ import annotations

from pydantic import Field

from mpifl.algorithms.context import ClientContext, PersonalModel, Program
from mpifl.algorithms.partial import Partial
from mpifl.algorithms.requests import Train, Trained


class FedBabu(Partial):
    """Oh et al., arXiv 2106.06042, algorithm 1.

    All clients have the initial head, which is neither trained nor sent. They train the body below
    it, whose mean is weighted by samples. The personal model of a client is the whole model after
    local steps on its samples.
    """

    name: str = "fedbabu"
    fine_tune_steps: int | None = Field(
        None,
        ge=0,
        description="local steps of the personal model; default: those of a participant; the paper"
        " makes 5 passes",
    )

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(self.with_shared(c), trainable=self.body_of(c.layout))
        return self.upload(c, trained.update, trained.weights)

    def personal(self, c: ClientContext) -> PersonalModel:
        model = self.with_shared(c)
        if self.fine_tune_steps == 0:
            return model
        tuned: Trained = yield Train(model, steps=self.fine_tune_steps)
        return tuned.weights
