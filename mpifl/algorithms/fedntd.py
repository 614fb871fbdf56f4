"""FedNTD: clients keep what the global model says of the classes that a sample is not of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.distillation import divergence
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_classes
from mpifl.algorithms.vectors import output_with, same_draws, tensors_in
from mpifl.clock.cost import TRAINING_PER_INFERENCE, Cost
from mpifl.errors import InputError, counted
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.population.population import Population
from mpifl.transforms.transform import of_targets

if TYPE_CHECKING:
    import torch
    from torch import nn

STEP_COST = 1 + 1 / TRAINING_PER_INFERENCE
"""The time of a local step that goes forward through the global model, in plain local steps."""

LEAST_CLASSES = 3
"""Of two classes one is left beside the true one: its softmax is 1, whatever the logits are."""


class FedNTD(FedAvg):
    """Lee et al., arXiv 2106.03097: FedAvg with their not-true distillation.

    Of a sample of class y, q~ is the softmax of logits / tau over all classes but y: q~_g of the
    model that the server sent, q~_l of the one that is trained. The loss is the objective's + beta
    times the mean over the minibatch of KL(q~_g | q~_l) = sum_c q~_g(c) log(q~_g(c) / q~_l(c)); no
    gradient goes through q~_g. The authors' code has beta tau^2 in the place of beta, which is the
    same with the paper's tau of 1.

    Each sample goes through one more model, forward only. For that the clock charges a third more
    for each local step.
    """

    reads_outputs = True

    name: str = "fedntd"
    beta: float = Field(
        1.0, ge=0, description="weight of the not-true distillation (the paper's 1); 0 is FedAvg"
    )
    tau: float = Field(1.0, gt=0, description="temperature of the softmax (the paper's 1)")

    @property
    def reads_classes(self) -> bool:
        return self.beta > 0

    def check(self, job: Job) -> None:
        if self.tau != 1 and not self.beta:
            raise InputError(
                f"algorithm.tau: {self.tau:g} does nothing with algorithm.beta 0; leave it out"
            )

    def settled(self, population: Population) -> Self:
        if not self.beta:
            return self
        needs_classes(self, population)
        data = population.dataset
        if data is not None and data.outputs < LEAST_CLASSES:
            raise InputError(
                f"algorithm.name: {self.name!r} is not allowed: it distils two classes or more that"
                f" a sample is not of, and {data.name} has {counted(data.outputs, 'class')};"
                " allowed: data with more, or algorithm.beta 0"
            )
        return self

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=self._step_cost)

    def client(self, c: ClientContext) -> Program:
        loss = _Distilled(c, self.beta, self.tau) if self.beta else None
        trained: Trained = yield Train(c.received["model"], loss=loss, cost=self._step_cost)
        return Upload(update=trained.take_update())

    @property
    def _step_cost(self) -> float:
        return STEP_COST if self.beta else 1


@dataclass(frozen=True)
class _Distilled:
    """The objective's loss + beta times the not-true distillation."""

    takes_mixtures: ClassVar[bool] = True

    c: ClientContext
    beta: float
    tau: float

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.no_grad(), same_draws(x.device):
            model = self.c.received["model"].clone()
            teacher = output_with(module, tensors_in(module, self.c.layout, model), x)
        output = module(x)
        distance = of_targets(partial(not_true, output / self.tau, teacher / self.tau), y)
        return self.c.loss(output, y) + self.beta * distance


def not_true(own: torch.Tensor, teacher: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the mean KL divergence of softmaxes (samples, classes) without the classes ``y``."""
    import torch

    others = torch.arange(own.shape[1], device=own.device) != y[:, None]
    shape = (len(own), own.shape[1] - 1)
    return divergence(own[others].view(shape), teacher[others].view(shape))
