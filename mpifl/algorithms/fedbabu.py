"""FedBABU: the head is never trained while the layers below it are learnt together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpifl.algorithms.context import ClientContext, Program
from mpifl.algorithms.partial import Partial
from mpifl.algorithms.requests import Train, Trained

if TYPE_CHECKING:
    import torch


class FedBabu(Partial):
    """Oh et al., arXiv 2106.06042, algorithm 1.

    All clients have the initial head, which is neither trained nor sent. They train the body below
    it, whose mean is weighted by samples. For the test the paper tunes the whole model on each
    client's samples, by 5 passes: ``evaluation.fine_tune_steps``.
    """

    name: str = "fedbabu"

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(self.with_shared(c), trainable=self.body_of(c.layout))
        return self.upload(c, trained.update, trained.weights)

    def personal(self, c: ClientContext) -> torch.Tensor:
        return self.with_shared(c)
