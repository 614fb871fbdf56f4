"""A teacher and its students: clients learn from labels and from the global model's outputs."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn
from torch.func import functional_call
from torch.nn.functional import kl_div, log_softmax, softmax

from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train
from mpifl.algorithms.vectors import tensors_in
from mpifl.clock.cost import Cost
from mpifl.models.layout import Layout


class TeacherStudent(FedAvg):
    """FedGKD (Yao et al., arXiv 2107.00051), one teacher: loss + gamma/2 KL(teacher, student)."""

    name: str = "teacher_student"
    gamma: float = Field(0.2, ge=0, description="weight of the teacher")

    def cost(self, layout: Layout) -> Cost:
        """Return a third more than the local steps: the teacher's forward pass."""
        return Cost(training=4 / 3)

    def client(self, c: ClientContext) -> Program:
        """Train with the received model as the teacher."""
        model = c.received["model"]

        def loss(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            output = module(x)
            with torch.no_grad():
                teacher = tensors_in(module, c.layout, model)
                taught = softmax(functional_call(module, teacher, (x,)), 1)
            apart = kl_div(log_softmax(output, 1), taught, reduction="batchmean")
            return c.loss(output, y) + self.gamma / 2 * apart

        trained = yield Train(model, loss=loss, cost=4 / 3)
        return Upload(update=trained.update)
