"""HeteroFL: each client trains a part of the model that is as wide as its device can bear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field

from mpifl.algorithms.arrays import Array, Arrays
from mpifl.algorithms.by_width import ByWidth, Widths
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Trained
from mpifl.algorithms.requirements import needs_classes, needs_means_of_the_same
from mpifl.algorithms.widths import hidden_layers
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mpifl.training.participant import Loss


class HeteroFL(ByWidth):
    """Diao et al., arXiv 2010.01264, algorithm 1.

    A client of width r has of every hidden layer with d units the first ceil(r d), with the weights
    between those: the input and the output layer's classes stay whole. It receives that part,
    trains it and uploads its update. Server: each entry of the model moves by the mean of its
    updates over the participants that have it, unweighted as in the paper; one that nobody has
    stays. The clock charges each participant for the bytes and the FLOPs of its part.

    The widest parts go to the fastest devices: ``shares`` of the clients, by the milliseconds that
    their devices take for a sample, each width to those behind the next wider one. The bounds are
    those of 1,000 clients drawn once. Or ``devices`` names them: a width for each device of the
    trace, by its name or model.

    With ``model.lora`` the width is a share of the rank: a client trains and sends the first rows
    of A and columns of B, as in HetLoRA (Cho et al., arXiv 2401.06432), and the scaler gives it the
    scale alpha / rank of its own rank.

    Scaler: while a client trains, what each hidden layer puts out is divided by r. Masked
    cross-entropy: the logits of classes that a client lacks are set to 0, and of the last layer it
    counts in the rows of its own classes only. Static batch norm: running statistics are not
    shared; the server makes its own (``training.batch_norm: recompute``).

    Ranks compute the whole model with zeros outside of the part, which gives the part's numbers.
    """

    weighs_samples = False

    name: str = "heterofl"
    widths: Widths = Field(
        (1.0, 0.5, 0.25, 0.125, 0.0625),
        description="share of each hidden layer that a client has, falling (the paper's a to e)",
    )
    scaler: bool = Field(True, description="divide what hidden layers put out by the width")
    masked: bool = Field(True, description="leave classes out that a client lacks")

    @property
    def reads_classes(self) -> bool:
        return self.masked

    def check(self, job: Job) -> None:
        super().check(job)
        if self.masked:
            needs_means_of_the_same(self, job)

    def settled(self, population: Population) -> Self:
        if self.masked:
            needs_classes(self, population)
        return super().settled(population)

    def uploaded_arrays(self, layout: Layout) -> Mapping[str, Array]:
        if not self.masked:
            return self.uploaded
        return {**self.uploaded, "classes": Array((_classes(layout),), coded=False)}

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield self.train(c, self._loss(c))
        if not self.masked:
            return Upload(update=trained.update, slot=c.kind)
        own = _present(c)
        update = _in_rows_of(own, trained.update, c.layout)
        return Upload(update=update, classes=own, slot=c.kind)

    def _loss(self, c: ClientContext) -> Loss | None:
        """Return the loss with scaler and mask; None where it is the objective's."""
        width = self.widths[c.kind]
        divides = self.scaler and width < 1
        if not (divides or self.masked):
            return None
        absent = (_present(c) == 0) if self.masked else None
        layers = hidden_layers(c.layout) if divides else ()

        def loss(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            hooks = [
                module.get_submodule(layer).register_forward_hook(
                    lambda _, inputs, output: output / width
                )
                for layer in layers
            ]
            try:
                output = module(x)
            finally:
                for hook in hooks:
                    hook.remove()
            return c.loss(output if absent is None else output.masked_fill(absent, 0.0), y)

        return loss

    def having(self, s: ServerContext, mean: Arrays, kind: int) -> np.ndarray:
        weights = super().having(s, mean, kind)
        if self.masked:
            own = mean["classes"].reshape(self.slots, -1)[kind]
            for name in s.layout.head:
                rows = weights[s.layout.slices[name]].reshape(len(own), -1)
                rows *= own[:, None]
        return weights


def _in_rows_of(classes: torch.Tensor, update: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Return an update (size,) with 0 in the last layer's rows of classes that are 0."""
    update = update.clone()
    for name in layout.head:
        rows = update[layout.slices[name]].view(len(classes), -1)
        rows *= classes[:, None]
    return update


def _classes(layout: Layout) -> int:
    """Return how many outputs the model has."""
    return layout.shapes[layout.head[0]][0]


def _present(c: ClientContext) -> torch.Tensor:
    """Return 1 for each class that a client has samples of, else 0, (classes,) float32."""
    return c.received["model"].new_tensor((c.count_labels() > 0).astype(np.float32))
