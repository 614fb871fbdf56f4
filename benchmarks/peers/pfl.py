"""pfl-research on a workload: FederatedAveraging on a SimulatedBackend, one process a core by torchrun.

As in its own speed benchmark users are drawn with replacement. Where clients differ in size it is told the sizes, so that it
can balance, and weighs by samples. pfl does not shuffle.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import nn

from benchmarks.peers.work import Counts, Data, final_loss, mean_loss, model_of, read_order, report


class Learned(nn.Module):
    """The model with the loss that pfl asks for; counts what goes through it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.counts = module, Counts()

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One step's."""
        self.counts = self.counts.plus((0, len(x), 1))
        return mean_loss(self.module(x), y)

    def metrics(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
        """None: nothing is evaluated."""
        return {}


class Clock(TrainingProcessCallback):
    """When rounds end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_begin(self, *, model: Any) -> Metrics:
        """The start of the first round."""
        self.ends.append(perf_counter())
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Any, model: Any, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """The end of a round."""
        self.ends.append(perf_counter())
        return False, Metrics()


def main() -> None:
    """Follow the order; rank 0 reports."""
    order = read_order(sys.argv[1])
    workload, data = order.workload, Data(order)
    torch.set_num_threads(1)
    np.random.seed(order.seed)  # noqa: NPY002  (pfl draws from it, on all ranks alike)
    learned = Learned(model_of(order))
    model = PyTorchModel(learned, torch.optim.SGD, torch.optim.SGD(learned.parameters(), 1.0))
    learned.train()
    users = 0

    def user(number: int) -> PyTorchTensorDataset:
        nonlocal users
        users += 1
        return PyTorchTensorDataset(data.client(number), user_id=number)

    weights = (
        {client: data.size(client) for client in range(workload.clients)}
        if workload.sigma
        else None
    )
    dataset = FederatedDataset(user, get_user_sampler("random", range(workload.clients)), weights)
    clock = Clock()
    FederatedAveraging().run(
        NNAlgorithmParams(order.rounds, order.rounds + 1, workload.participants, 0),
        SimulatedBackend(dataset, dataset, [WeightByDatapoints()] if workload.sigma else []),
        model,
        NNTrainHyperParams(workload.batch_size, workload.epochs, workload.lr),
        callbacks=[clock],
        send_metrics_to_platform=False,
    )
    counts = torch.tensor(learned.counts.plus((users, 0, 0)))
    torch.distributed.all_reduce(counts)
    if torch.distributed.get_rank() == 0:
        report(
            version("pfl"),
            np.diff(clock.ends).tolist(),
            counts.tolist(),
            final_loss(learned.module, data),
        )
    torch.distributed.barrier()  # who ends first takes the others' connections away, at which some abort
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
