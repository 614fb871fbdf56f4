"""CCVR: the head of a trained model is calibrated on features drawn from Gaussians of classes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import SCALAR, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.head import feature_blocks, head_shape
from mpifl.algorithms.requests import Call
from mpifl.algorithms.requirements import (
    needs_classes,
    needs_no_privacy,
    needs_no_steps,
    needs_one_base,
    needs_sums,
)
from mpifl.algorithms.vectors import vector_of
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.optimizers.adam import Adam
from mpifl.population.population import Population

if TYPE_CHECKING:
    import torch
    from torch import nn


class Ccvr(Algorithm):
    """Luo et al., arXiv 2106.05001, algorithm 1 (classifier calibration, virtual representations).

    It comes after training, by whatever algorithm: ``model.initial`` names the run whose model is
    calibrated. A client trains nothing. It uploads of each class how many samples it has, and the
    sum of their features z and of z z^T, in evaluation mode; z is what goes into the last layer,
    which has to be linear. From N, the sum S and the sum Q over the clients that took part, the
    server has mean S / N and covariance (Q - S S^T / N) / (N - 1) of each class, which is what the
    paper makes of the clients' means and covariances. It draws ``virtual`` features of each class
    from that Gaussian, without a transformation, and trains the last layer on them by Adam, the
    other layers as they are.

    Sums grow from round to round, and a client counts once: a participant that took part before
    sends zeros. The clock charges one pass forward, and for the server's work
    ``clock.latency.server_seconds``. Steps of ``training`` are not made.
    """

    kept = {"sent": SCALAR}
    weighs_samples = False
    weighs_work: ClassVar[bool] = False
    shares_averages = False
    reads_outputs = True

    name: str = "ccvr"
    virtual: int = Field(500, ge=1, description="features drawn of each class (mpifl's default)")
    epochs: int = Field(10, ge=0, le=10_000, description="passes over them in a round; 0: none")
    batch_size: int = Field(64, ge=1, description="features of a step")
    lr: float = Field(1e-3, gt=0, description="learning rate of Adam")

    @property
    def reads_classes(self) -> bool:
        return True

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        needs_sums(self, job)
        needs_no_privacy(self, job)
        needs_no_steps(self, job)

    def settled(self, population: Population) -> Self:
        needs_classes(self, population)
        return self

    def uploaded_arrays(self, layout: Layout) -> dict[str, Array]:
        classes, features = head_shape(layout, self.name)
        return {
            "counts": Array((classes,), coded=False),
            "sums": Array((classes, features)),
            "squares": Array((classes, features, features), bits=30),
        }

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=0, evaluations=1)

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        arrays = self.uploaded_arrays(layout)
        zeros = {name: np.zeros(array.sized(0), np.float32) for name, array in arrays.items()}
        return {"model": model, **zeros}

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        shapes = self.uploaded_arrays(c.layout)
        moments = {name: model.new_zeros(array.sized(0)) for name, array in shapes.items()}
        if not c.kept:
            moments = yield Call(_Moments(c.layout, moments), model, evaluations=1)
        keep = {"sent": model.new_ones(())}
        return Upload(
            counts=moments["counts"], sums=moments["sums"], squares=moments["squares"], keep=keep
        )

    def server(self, s: ServerContext, mean: Arrays) -> Generator[Call, Any, Arrays]:
        import torch

        # Clients count the same in the means: a sum is the mean times the participants.
        sums = {name: s.state[name] + s.participants * mean[name] for name in mean}
        sums["counts"] = np.rint(sums["counts"])
        gaussians = gaussians_of(sums["counts"], sums["sums"], sums["squares"])
        if not gaussians:
            return sums
        random = s.make_generator()
        features, labels = virtual_features(gaussians, self.virtual, random)
        steps = _Calibration(self, s.layout, features, labels, random)
        model: torch.Tensor = yield Call(steps, torch.from_numpy(s.state["model"].copy()))
        return {**sums, "model": model.numpy()}


@dataclass(frozen=True)
class _Moments:
    """Return a client's sums by class; ``zeros`` has their shapes."""

    layout: Layout
    zeros: dict[str, torch.Tensor]

    def __call__(
        self, module: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        import torch

        sums = {name: zero.clone() for name, zero in self.zeros.items()}
        sums["counts"] += torch.bincount(y, minlength=len(sums["counts"]))
        for block, features in feature_blocks(module, self.layout, x):
            for label in torch.unique(y[block]).tolist():
                own = features[y[block] == label]
                sums["sums"][label] += own.sum(0)
                sums["squares"][label] += own.T @ own
        return sums


Gaussian = tuple[int, np.ndarray, np.ndarray]
"""A class that has samples, its mean (features,) and covariance (features, features), float64."""


def gaussians_of(counts: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> list[Gaussian]:
    """Return the Gaussian of each class that has a sample; of a single one the covariance is 0."""
    found = []
    for label in np.flatnonzero(counts >= 1).tolist():
        count = float(counts[label])
        mean = sums[label].astype(np.float64) / count
        scatter = squares[label].astype(np.float64) - count * np.outer(mean, mean)
        found.append((label, mean, scatter / (count - 1) if count > 1 else 0 * scatter))
    return found


def virtual_features(
    gaussians: list[Gaussian], each: int, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (n, features) float32 drawn from Gaussians, and their classes (n,) int64."""
    import torch

    features = []
    for _, mean, covariance in gaussians:
        values, vectors = torch.linalg.eigh(torch.from_numpy(covariance))
        root = vectors * values.clamp_min(0).sqrt() @ vectors.T  # symmetric: signs cancel out
        drawn = torch.from_numpy(random.standard_normal((each, len(mean))))
        features.append(torch.from_numpy(mean) + drawn @ root)
    labels = torch.tensor([label for label, *_ in gaussians]).repeat_interleave(each)
    return torch.cat(features).float(), labels


@dataclass(frozen=True)
class _Calibration:
    """Train the last layer of a module on features of classes; return the weights (size,)."""

    keys: Ccvr
    layout: Layout
    features: torch.Tensor
    labels: torch.Tensor
    random: np.random.Generator

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn.functional import cross_entropy

        head = module.get_submodule(self.layout.head[0].rpartition(".")[0])
        parameters = list(head.parameters())
        weights = [parameter.data for parameter in parameters]
        adam = Adam()
        state = adam.start(weights)
        number = 0
        for _ in range(self.keys.epochs):
            order = torch.from_numpy(self.random.permutation(len(self.labels)))
            for rows in torch.split(order, self.keys.batch_size):
                loss = cross_entropy(head(self.features[rows]), self.labels[rows])
                gradients = list(torch.autograd.grad(loss, parameters))
                adam.step(weights, gradients, state, self.keys.lr, number)
                number += 1
        return vector_of(module, self.layout, self.features.new_empty(0))
