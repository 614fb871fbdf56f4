"""Plug-ins of the tests: a network with batch norm, and algorithms that sum what is small."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from mpifl.algorithms.arrays import MODEL, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train, Trained
from mpifl.datasets.dataset import DataShape
from mpifl.models.layout import Layout
from mpifl.models.model import Model

HERE = __file__


class Normed(Model):
    """A hidden layer with batch norm; with ``frozen`` its weights are not trained, and a mask hides no feature."""

    name: str = "normed"
    hidden: tuple[int, ...] = (32,)
    frozen: bool = False

    def build(self, data: DataShape) -> nn.Module:
        """See Model."""
        width = int(np.prod(data.sample))
        first = nn.Linear(width, self.hidden[0])
        first.requires_grad_(not self.frozen)
        layers = [
            Masked(width),
            first,
            nn.BatchNorm1d(self.hidden[0]),
            nn.ReLU(),
            nn.Linear(self.hidden[0], data.outputs),
        ]
        return nn.Sequential(nn.Flatten(), *(layers if self.frozen else layers[1:]))


class Masked(nn.Module):
    """Features behind a mask of infinities, which no server can average."""

    mask: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((width,), torch.inf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features."""
        return torch.minimum(x, self.mask)


class Squares(FedAvg):
    """Also sums the squares of a ten-thousandth of each update, in a unit of their own; where they are large it goes slower."""

    uploaded: ClassVar[dict[str, Array]] = {"update": MODEL, "square": Array(("model",), bits=80)}

    name: str = "squares"

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        """See Algorithm."""
        return {"model": model, "square": np.zeros_like(model)}

    def client(self, c: ClientContext) -> Program:
        """See Algorithm."""
        trained: Trained = yield Train(c.received["model"])
        return Upload(update=trained.update, square=(1e-4 * trained.update).square())

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        """See Algorithm."""
        mean["update"] /= 1 + 1e4 * np.sqrt(
            mean["square"]
        )  # in place: the means are this step's own
        return {"model": s.state["model"] + mean["update"], "square": mean["square"]}


class Rough(Squares):
    """The same in the unit that every array has without a word."""

    uploaded: ClassVar[dict[str, Array]] = {"update": MODEL, "square": MODEL}

    name: str = "rough"
