"""What algorithms share that match models on public samples: a base, logits, steps on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.fednas import ARCHITECTURE
from mpifl.algorithms.vectors import vector_of
from mpifl.errors import InputError, counted
from mpifl.job import Job
from mpifl.job.section import Count
from mpifl.models.layout import Layout
from mpifl.optimizers.adam import Adam
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch
    from torch import nn

AT_ONCE = 256
"""Samples whose logits are computed at a time."""


class Distilling(Algorithm):
    """The base of algorithms that need public samples.

    They are drawn in each round from the validation part of the data. Their labels are not used.
    """

    reads_outputs = True

    public_samples: Count | None = Field(
        None,
        description="public samples of a round, drawn from the validation part; default: all of it",
    )

    @property
    def reads_classes(self) -> bool:
        return True

    @property
    def public(self) -> int:
        return self.public_samples or 1

    def settled(self, population: Population) -> Self:
        data = population.dataset
        if data is None or data.task == "none":
            return self
        if data.task != "classification" or "validation" not in data.parts:
            raise InputError(
                f"algorithm.name: {self.name!r} is not allowed: it needs public samples of a"
                f" classification, and {data.name} has none (a validation part); data.split makes"
                " one: data.split.by=samples data.split.validation=0.1"
            )
        samples = data.validation.samples
        if self.public_samples is not None and self.public_samples > samples:
            raise InputError(
                f"algorithm.public_samples: {self.public_samples} is not allowed: the validation"
                f" part of {data.name} has {counted(samples, 'sample')}"
            )
        return self.model_copy(update={"public_samples": self.public_samples or samples})

    def check_model(self, job: Job, layout: Layout) -> None:
        if layout.head[0].startswith(ARCHITECTURE):
            raise InputError(
                f"model.name: {job.model.name!r} is not allowed with algorithm.name {self.name}:"
                " its last weights are those of an architecture; allowed: darts with a genotype"
            )


def outputs_of(layout: Layout) -> int:
    """Return how many logits a model has: the rows of its last layer."""
    return layout.shapes[layout.head[0]][0]


@dataclass(frozen=True)
class Logits:
    """To be called with a module: return its logits on ``inputs``, (samples, classes) float32."""

    inputs: torch.Tensor

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch

        module.eval()
        with torch.no_grad():
            return torch.cat([module(block) for block in torch.split(self.inputs, AT_ONCE)])


@dataclass(frozen=True)
class Matching:
    """To be called with a module: make steps of Adam on public samples, return the weights (size,).

    Attributes:
        layout: The model.
        inputs: The public samples, (samples, ...).
        targets: What the logits are matched to, (samples, classes).
        loss: Return the loss of logits and targets of a minibatch, a scalar tensor.
        batch_size: Samples of a step; each epoch goes through all in a new order.
        rates: The learning rate of each step.
        random: Draws the orders.
    """

    layout: Layout
    inputs: torch.Tensor
    targets: torch.Tensor
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    batch_size: int
    rates: np.ndarray
    random: np.random.Generator

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch

        module.train()
        parameters = [tensor for tensor in module.parameters() if tensor.requires_grad]
        weights = [parameter.data for parameter in parameters]
        adam = Adam()
        state = adam.start(weights)
        rows: list[torch.Tensor] = []
        for number, rate in enumerate(self.rates.tolist()):
            if not rows:
                order = torch.from_numpy(self.random.permutation(len(self.inputs)))
                rows = list(torch.split(order.to(self.inputs.device), self.batch_size))
            batch = rows.pop(0)
            loss = self.loss(module(self.inputs[batch]), self.targets[batch])
            gradients = list(torch.autograd.grad(loss, parameters))
            adam.step(weights, gradients, state, rate, number)
        return vector_of(module, self.layout, self.inputs.new_empty(0))


def divergence(own: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the mean KL divergence KL(teacher | own) of softmaxes of logits (samples, classes)."""
    from torch.nn.functional import kl_div

    student, target = (logits.log_softmax(1) for logits in (own, teacher))
    return kl_div(student, target, reduction="batchmean", log_target=True)


def steps_of(samples: int, batch_size: int, epochs: int) -> int:
    """Return the steps of some epochs; the last one of each may have fewer samples."""
    return epochs * -(-samples // batch_size)
