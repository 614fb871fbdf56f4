"""FedMD: clients keep their models, and agree on the logits of public samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mpifl.algorithms.arrays import MODEL, SCALAR, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.distillation import Distilling, Logits, Matching, outputs_of, steps_of
from mpifl.algorithms.requests import Call, Train, Trained
from mpifl.clock.cost import TRAINING_PER_INFERENCE, Cost
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


class FedMD(Distilling):
    """Li & Wang, arXiv 1910.03581, algorithm 1, with clients' models of one shape.

    Each client keeps a model of its own, at first the initial one. Digest: it trains that model to
    match the consensus of the round before on the public samples of that round, by the mean
    absolute difference of the logits and steps of Adam, as the authors' code does. Revisit: it
    makes the planned local steps. Communicate: it uploads the logits of its model on the public
    samples of this round. Server: the consensus is their unweighted mean.

    No model travels, and the global one stays the initial one: clients should be tested with their
    own (``evaluation.personal``). The paper first trains every model on labelled public samples:
    ``model.initial`` takes such weights.
    """

    shares_averages = False
    weighs_samples = False
    kept = {"model": MODEL}

    name: str = "fedmd"
    digest_epochs: int = Field(
        1, ge=0, le=1000, description="passes over the public samples (code: 1)"
    )
    digest_batch: int = Field(256, ge=1, description="public samples of a step (code: 256)")
    digest_lr: float = Field(1e-3, gt=0, description="learning rate of Adam (code: 1e-3)")

    def check(self, job: Job) -> None:
        if job.clock.asynchronous:
            raise InputError(
                f"clock.mode: {job.clock.mode!r} is not allowed with algorithm.name {self.name},"
                " whose consensus is of clients that began in one round and had its public"
                " samples; allowed: sync, all, deadline"
            )

    def received_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"consensus": Array((self.public, outputs_of(layout))), "of_round": SCALAR}

    def uploaded_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"logits": Array((self.public, outputs_of(layout)))}

    def cost(self, layout: Layout) -> Cost:
        return Cost(public=self.public * (self.digest_epochs + 1 / TRAINING_PER_INFERENCE))

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        consensus = np.zeros((self.public, outputs_of(layout)), np.float32)
        return {"model": model, "consensus": consensus, "of_round": np.zeros((), np.float32)}

    def client(self, c: ClientContext) -> Program:
        model = self.personal(c)
        if self.digest_epochs and int(c.received["of_round"]):
            model = yield Call(
                self._digest(c), model, public=float(self.public * self.digest_epochs)
            )
        trained: Trained = yield Train(model)
        logits: torch.Tensor = yield Call(
            Logits(c.public(c.round)),
            trained.weights,
            public=self.public / TRAINING_PER_INFERENCE,
        )
        return Upload(logits=logits, keep={"model": trained.weights})

    def _digest(self, c: ClientContext) -> Matching:
        """Return the steps that bring a client's model near the consensus."""
        from torch.nn.functional import l1_loss

        return Matching(
            layout=c.layout,
            inputs=c.public(int(c.received["of_round"])),
            targets=c.received["consensus"],
            loss=l1_loss,
            batch_size=self.digest_batch,
            rates=np.full(
                steps_of(self.public, self.digest_batch, self.digest_epochs), self.digest_lr
            ),
            random=c.make_generator(),
        )

    def personal(self, c: ClientContext) -> torch.Tensor:
        return c.kept.get("model", c.initial)

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        return {"consensus": mean["logits"], "of_round": np.array(s.round)}
