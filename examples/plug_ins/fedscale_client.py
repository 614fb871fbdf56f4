"""A client in FedScale's style: ``train(client_data, model, conf)`` is plain PyTorch.

Subclass ``FedScaleAlgorithm`` and write ``Client``; the rest of the job is mpifl's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Call
from mpifl.algorithms.vectors import vector_of
from mpifl.clock.cost import Cost
from mpifl.models.layout import Layout

ClientData = torch.utils.data.TensorDataset


@dataclass
class Conf:
    """What FedScale passes as ``conf``, and the generator that takes the place of a global one."""

    learning_rate: float
    local_epochs: int
    batch_size: int
    generator: torch.Generator


class Client:
    """FedScale's ``Client``: trains ``model`` in place."""

    def train(self, client_data: ClientData, model: nn.Module, conf: Conf) -> None:
        """Make epochs of SGD with momentum, as FedScale's TorchClient does."""
        loader = torch.utils.data.DataLoader(
            client_data, batch_size=conf.batch_size, shuffle=True, generator=conf.generator
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=conf.learning_rate, momentum=0.9)
        model.train()
        for _ in range(conf.local_epochs):
            for x, y in loader:
                optimizer.zero_grad()
                cross_entropy(model(x), y).backward()
                optimizer.step()


class FedScaleAlgorithm(FedAvg):
    """FedAvg whose clients train with ``Client``."""

    weighs_samples = False  # FedScale's mean is unweighted

    name: str = "fedscale_client"
    learning_rate: float = Field(0.05, gt=0, description="conf.learning_rate")
    local_epochs: int = Field(2, ge=1, description="conf.local_epochs")
    batch_size: int = Field(10, ge=1, description="conf.batch_size")

    def cost(self, layout: Layout) -> Cost:
        """Return that a client makes its epochs, and no local steps of mpifl's."""
        return Cost(training=0, gradients=self.local_epochs)

    def client(self, c: ClientContext) -> Program:
        """Call ``Client.train`` with the received model, and upload what it changed."""
        model = c.received["model"]
        seed = int(c.make_generator().integers(2**62))

        def train(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            conf = Conf(
                self.learning_rate,
                self.local_epochs,
                self.batch_size,
                torch.Generator().manual_seed(seed),
            )
            Client().train(ClientData(x, y), module, conf)
            return vector_of(module, c.layout, model)

        weights = yield Call(train, model, gradients=self.local_epochs)
        return Upload(update=weights - model)
