"""FedRoD: a generic head for every class, and a personal one on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from mpifl.algorithms.arrays import Array
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.head import head_shape, with_features
from mpifl.algorithms.part import Part, part_of
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_bare_steps, needs_classes, needs_no_smoothing
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch
    from torch import nn


class FedRod(FedAvg):
    """Chen & Chao, arXiv 2107.00778, algorithm 1, with a linear personal head.

    The model is a body and a linear last layer, the generic head. Both are trained with the
    balanced softmax loss: the cross-entropy of logits + gamma log N_c, with the client's N_c
    samples of class c; they are averaged as in FedAvg. In each local step, on the same minibatch,
    the client's personal head is trained with the ordinary cross-entropy of generic + personal
    logits, from which no gradient goes into body and generic head.

    The module has no place for the personal head. It is an array of the client's, 0 at first, and
    its steps of plain SGD are made by the loss of the generic part. The clock leaves them out: they
    are those of one layer. The personal model has the sum of both heads as its last layer, which is
    the same as the sum of their logits.
    """

    reads_outputs = True

    name: str = "fedrod"
    gamma: float = Field(
        1.0, ge=0, description="power of the class counts in the balanced loss (the paper's 1)"
    )

    @property
    def reads_classes(self) -> bool:
        return True

    def check(self, job: Job) -> None:
        needs_bare_steps(self, job)
        if self.gamma:
            needs_no_smoothing(self, job)

    def settled(self, population: Population) -> Self:
        needs_classes(self, population)
        return self

    def received_arrays(self, layout: Layout) -> Mapping[str, Array]:
        head_shape(layout, self.name)  # here since this is asked first, before any rank starts
        return self.received

    def kept_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"head": Array((len(_head(layout).indices),))}

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        head = _head(c.layout)
        personal = c.kept.get("head", head.of(model).zero_()).clone()
        balanced = _Balanced(c, personal, self._prior(c))
        trained: Trained = yield Train(model, loss=balanced)
        return Upload(update=trained.update, keep={"head": personal})

    def _prior(self, c: ClientContext) -> torch.Tensor:
        """Return gamma log N_c, (classes,); minus infinity for a class that the client lacks."""
        counts = c.received["model"].new_tensor(c.count_labels())
        return (counts**self.gamma).log()

    def personal(self, c: ClientContext) -> torch.Tensor:
        model = c.received["model"]
        if not c.kept:
            return model
        head = _head(c.layout)
        return head.put(model, head.of(model) + c.kept["head"])


@dataclass(frozen=True)
class _Balanced:
    """The balanced softmax loss, which also makes the step of the personal head.

    Attributes:
        c: The participant.
        personal: The personal head (entries of the head,), changed in place.
        prior: gamma log N_c, (classes,).
    """

    takes_mixtures: ClassVar[bool] = True

    c: ClientContext
    personal: torch.Tensor
    prior: torch.Tensor

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        output, features = with_features(module, self.c.layout, x)
        self._step(output.detach(), features.detach(), y)
        return self.c.loss(output + self.prior, y)

    def _step(self, output: torch.Tensor, features: torch.Tensor, y: torch.Tensor) -> None:
        """Make the step of the personal head."""
        import torch

        head = self.personal.clone().requires_grad_()
        classes, width = output.shape[1], features.shape[1]
        weight = head[: classes * width].view(classes, width)
        bias = head[classes * width :] if len(head) > classes * width else None
        logits = output + torch.nn.functional.linear(features, weight, bias)
        (gradient,) = torch.autograd.grad(self.c.loss(logits, y), head)
        self.personal.sub_(gradient, alpha=self.c.lr)


def _head(layout: Layout) -> Part:
    """Return the entries of the last layer: its weight, and its bias behind it."""
    return part_of(layout, layout.head)
