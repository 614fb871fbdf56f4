"""The base class of algorithms whose clients train parts of the model, as wide as they can bear."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ClientContext, ServerContext
from mpifl.algorithms.part import Part
from mpifl.algorithms.requests import Train
from mpifl.algorithms.requirements import needs_one_base
from mpifl.algorithms.widths import leading_part, speed_classes, widths_of_devices
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch

    from mpifl.training.participant import Loss


Widths = Annotated[tuple[float, ...], Field(min_length=1, max_length=100)]
"""Shares of each hidden layer, falling; an algorithm gives its paper's as default."""


class ByWidth(Algorithm):
    """The base of algorithms in which each client has the leading units of every hidden layer.

    A kind of clients is a width. A client uploads the update of its part into the slot of its kind.
    Each entry of the model moves by the mean of its updates over the participants that have it.
    """

    shares_averages = False
    reads_outputs = True

    widths: Widths
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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
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

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        if job.selection.probes and self.kinds > 1:
            raise InputError(
                f"selection.name: {job.selection.name!r} is not allowed with algorithm.name"
                f" {self.name}: it asks clients for the loss of the whole model; allowed: uniform,"
                " ..."
            )

    def check_model(self, job: Job, layout: Layout) -> None:
        for kind in range(self.kinds):
            self.part(layout, kind)
        if layout.averaged and job.training.batch_norm != "recompute":
            raise InputError(
                f"training.batch_norm: {job.training.batch_norm!r} is not allowed with"
                f" algorithm.name {self.name}, whose clients share no statistics of batch norm;"
                " allowed: recompute"
            )

    def settled(self, population: Population) -> Self:
        if self.devices is not None:
            widths_of_devices(population, self.devices)
        return self

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
        return len(self.part(layout, kind).indices)

    def flops(self, layout: Layout, kind: int, by_layer: Mapping[str, float]) -> float:
        mask = np.zeros(layout.size)
        mask[self.part(layout, kind).indices] = 1.0
        outside = 0.0
        for name in layout.parameters:
            if len(layout.shapes[name]) > 1:  # a weight; biases and norms are not counted
                share = float(mask[layout.slices[name]].mean())
                outside += (1 - share) * by_layer.get(name.rpartition(".")[0], 0.0)
        return by_layer[""] - outside

    def part(self, layout: Layout, kind: int) -> Part:
        """Return the entries that a client of a kind has."""
        return leading_part(layout, self.widths[kind], self.name)

    def train(self, c: ClientContext, loss: Loss | None) -> Train:
        """Return the request of local steps on a client's part; what is outside of it stays 0."""
        rest = None if self.widths[c.kind] == 1 else self.part(c.layout, c.kind).rest
        return Train(
            self.personal(c),
            adjust=None if rest is None else lambda gradient, weights: rest.clear(gradient),
            loss=loss,
        )

    def personal(self, c: ClientContext) -> torch.Tensor:
        model = c.received["model"]
        if self.widths[c.kind] == 1:
            return model
        part = self.part(c.layout, c.kind)
        inside = part.put(model.new_zeros(len(model)), part.of(model))
        inside[c.layout.averages] = model[c.layout.averages]
        return inside

    def having(self, s: ServerContext, mean: Arrays, kind: int) -> np.ndarray:
        """Return the weight of a kind's participants that have each entry, (size,) float64."""
        weights = np.zeros(s.layout.size)
        weights[self.part(s.layout, kind).indices] = s.slots[kind]
        return weights

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        updates = mean["update"].reshape(self.slots, -1)
        having = np.zeros(s.layout.size)
        for kind in range(self.kinds):
            having += self.having(s, mean, kind)

        step = np.zeros(s.layout.size)
        for update, weight in zip(updates, s.slots.tolist(), strict=True):
            step += update * np.divide(weight, having, out=np.zeros(len(having)), where=having > 0)
        return {"model": s.state["model"] + step}
