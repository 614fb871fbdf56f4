"""FedDF: the server distils the clients' models, as an ensemble, into the next global one."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from mpifl.algorithms.arrays import MODEL, SCALAR, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.distillation import Distilling, Logits, Matching, outputs_of
from mpifl.algorithms.requests import Call, Train, Trained
from mpifl.algorithms.requirements import (
    needs_means_of_the_same,
    needs_one_base,
    needs_open_updates,
)
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


class FedDF(Distilling):
    """Lin et al., arXiv 2006.07242, algorithm 1 (models of one shape).

    Clients train as in FedAvg. The server begins with the mean of their models, weighted by
    samples, and makes ``distil_steps`` steps of Adam along the gradient of KL(softmax(mean of the
    clients' logits) | softmax(its own logits)) on minibatches of public samples. The mean of the
    logits is unweighted. The learning rate falls to 0 by a cosine.

    The paper makes 10,000 steps at most and stops when the accuracy on validation samples has not
    risen for 1,000. The logits are computed where the clients are emulated, which is faster; a
    participant sends its model only. The server's work takes no virtual time but that of
    ``clock.latency.server_seconds``.
    """

    weighs_work: ClassVar[bool] = False

    name: str = "feddf"
    distil_steps: int = Field(
        500, ge=0, le=1_000_000, description="the server's steps a round (paper: up to 10,000)"
    )
    distil_lr: float = Field(1e-3, gt=0, description="first learning rate of Adam (paper: 1e-3)")
    distil_batch: int = Field(128, ge=1, description="public samples of a step (paper: 128)")

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        needs_open_updates(self, job)
        needs_means_of_the_same(self, job)
        if job.attacks:
            raise InputError(
                f"attacks: not allowed with algorithm.name {self.name}, whose server takes the"
                " logits of the models that clients have, and not of those that they send"
            )

    def uploaded_arrays(self, layout: Layout) -> dict[str, Array]:
        logits = Array((self.public, outputs_of(layout)))
        return {"update": MODEL, "logits": logits, "share": SCALAR}

    def transfers(self, layout: Layout) -> tuple[dict[str, Array], dict[str, Array]]:
        return {"model": MODEL}, {"update": MODEL}

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        logits: torch.Tensor = yield Call(Logits(c.public(c.round)), trained.weights)
        # Means are weighted by samples: divided by them, that of the logits is not.
        return Upload(update=trained.update, logits=logits / c.samples, share=1 / c.samples)

    def server(self, s: ServerContext, mean: Arrays) -> Generator[Call, Any, Arrays]:
        import torch
        from torch.nn.functional import kl_div

        def divergence(own: torch.Tensor, teachers: torch.Tensor) -> torch.Tensor:
            return kl_div(own.log_softmax(-1), teachers.softmax(-1), reduction="batchmean")

        model = s.state["model"] + mean["update"]
        if s.layout.averaged:
            model[s.layout.averages] = s.averages[0]
        progress = np.arange(self.distil_steps) / max(1, self.distil_steps)
        student: torch.Tensor = yield Call(
            Matching(
                layout=s.layout,
                inputs=s.public(s.round),
                targets=torch.from_numpy(mean["logits"] / mean["share"]).float(),
                loss=divergence,
                batch_size=self.distil_batch,
                rates=self.distil_lr * (1 + np.cos(np.pi * progress)) / 2,
                random=s.make_generator(),
            ),
            torch.from_numpy(model).float(),
        )
        return {"model": student.numpy()}
