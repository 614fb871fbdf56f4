"""HeteroFL: each client trains a part of the model that is as wide as its device can bear."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import MODEL, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.part import Part
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.requirements import needs_classes, needs_means_of_the_same, needs_one_base
from mpifl.algorithms.widths import hidden_layers, leading_part, speed_classes, widths_of_devices
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mpifl.training.participant import Loss


class HeteroFL(Algorithm):
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

    uploaded = {"update": MODEL}
    weighs_samples = False
    shares_averages = False
    reads_outputs = True

    name: str = "heterofl"
    widths: tuple[float, ...] = Field(
        (1.0, 0.5, 0.25, 0.125, 0.0625),
        min_length=1,
        max_length=100,
        description="share of each hidden layer that a client has, falling (the paper's a to e)",
    )
    shares: tuple[float, ...] | None = Field(
        None,
        description="share of the clients that have each width, the fastest the first; default:"
        " equal shares",
    )
    devices: dict[str, float] | None = Field(
        None,
        min_length=1,
        description="width of each device of the trace by name or model, in place of shares",
    )
    scaler: bool = Field(True, description="divide what hidden layers put out by the width")
    masked: bool = Field(True, description="leave classes out that a client lacks")

    @model_validator(mode="after")
    def _consistent(self) -> HeteroFL:
        falling = all(wide > narrow for wide, narrow in pairwise((*self.widths, 0.0)))
        if not falling or self.widths[0] > 1:
            raise ValueError("widths must fall, from 1 or less, and be above 0")
        if self.shares is not None:
            if self.devices is not None:
                raise ValueError("give shares or devices, not both")
            if len(self.shares) != len(self.widths):
                raise ValueError(f"give {len(self.widths)} shares, one for each width")
            if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-9:
                raise ValueError("shares must be 0 or more, and add up to 1")
        for device, width in (self.devices or {}).items():
            if width not in self.widths:
                raise ValueError(f"devices: {device!r} has width {width:g}, not one of widths")
        return self

    @property
    def reads_classes(self) -> bool:
        return self.masked

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        if self.masked:
            needs_means_of_the_same(self, job)
        if job.selection.probes and self.kinds > 1:
            raise InputError(
                f"selection.name: {job.selection.name!r} is not allowed with algorithm.name"
                f" {self.name}: it asks clients for the loss of the whole model; allowed: uniform,"
                " ..."
            )

    def check_model(self, job: Job, layout: Layout) -> None:
        for width in self.widths:
            leading_part(layout, width, self.name)
        if layout.averaged and job.training.batch_norm != "recompute":
            raise InputError(
                f"training.batch_norm: {job.training.batch_norm!r} is not allowed with"
                f" algorithm.name {self.name}, whose clients share no statistics of batch norm;"
                " allowed: recompute"
            )

    def settled(self, population: Population) -> HeteroFL:
        if self.masked:
            needs_classes(self, population)
        if self.devices is not None:
            widths_of_devices(population, self.devices)
        return self

    def uploaded_arrays(self, layout: Layout) -> Mapping[str, Array]:
        if not self.masked:
            return self.uploaded
        return {**self.uploaded, "classes": Array((_classes(layout),), coded=False)}

    @property
    def slots(self) -> int:
        return len(self.widths)

    @property
    def kinds(self) -> int:
        return len(self.widths)

    def kinds_of(self, clients: np.ndarray, population: Population) -> np.ndarray:
        if self.devices is None:
            shares = self.shares or (1 / len(self.widths),) * len(self.widths)
            return speed_classes(population, clients, shares)
        widths = widths_of_devices(population, self.devices)[population.devices(clients)]
        return np.searchsorted(-np.array(self.widths), -widths)

    def kind_name(self, kind: int) -> str:
        return f"width {self.widths[kind]:g}"

    def entries(self, layout: Layout, kind: int) -> int:
        return len(self._part(layout, kind).indices)

    def flops(self, layout: Layout, kind: int, by_layer: Mapping[str, float]) -> float:
        mask = np.zeros(layout.size)
        mask[self._part(layout, kind).indices] = 1.0
        outside = 0.0
        for name in layout.parameters:
            if len(layout.shapes[name]) > 1:  # a weight; biases and norms are not counted
                share = float(mask[layout.slices[name]].mean())
                outside += (1 - share) * by_layer.get(name.rpartition(".")[0], 0.0)
        return by_layer[""] - outside

    def _part(self, layout: Layout, kind: int) -> Part:
        """Return the entries that a client of a kind has."""
        return leading_part(layout, self.widths[kind], self.name)

    def client(self, c: ClientContext) -> Program:
        width = self.widths[c.kind]
        part = self._part(c.layout, c.kind)
        trained: Trained = yield Train(
            self.personal(c),
            adjust=None if width == 1 else lambda gradient, weights: part.rest.clear(gradient),
            loss=self._loss(c, width),
        )
        if not self.masked:
            return Upload(update=trained.update, slot=c.kind)
        own = _present(c)
        update = _in_rows_of(own, trained.update, c.layout)
        return Upload(update=update, classes=own, slot=c.kind)

    def personal(self, c: ClientContext) -> torch.Tensor:
        model = c.received["model"]
        if self.widths[c.kind] == 1:
            return model
        part = self._part(c.layout, c.kind)
        inside = part.put(model.new_zeros(len(model)), part.of(model))
        inside[c.layout.averages] = model[c.layout.averages]
        return inside

    def _loss(self, c: ClientContext, width: float) -> Loss | None:
        """Return the loss with scaler and mask; None where it is the objective's."""
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

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        updates = mean["update"].reshape(self.slots, -1)
        having = np.zeros(s.layout.size)  # the weight of the participants that have each entry
        for kind, weight in enumerate(s.slots.tolist()):
            counts = np.zeros(s.layout.size)
            counts[self._part(s.layout, kind).indices] = weight
            if self.masked:
                own = mean["classes"].reshape(self.slots, -1)[kind]
                for name in s.layout.head:
                    rows = counts[s.layout.slices[name]].reshape(len(own), -1)
                    rows *= own[:, None]
            having += counts

        step = np.zeros(s.layout.size)
        for update, weight in zip(updates, s.slots.tolist(), strict=True):
            step += update * np.divide(weight, having, out=np.zeros(len(having)), where=having > 0)
        return {"model": s.state["model"] + step}


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
