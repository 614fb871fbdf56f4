"""APPFL on a workload: its MPI communicators and synchronous scheduler, a server rank and one rank for each process at work.

APPFL's MPI side draws no participants: every client is in every round, several a rank ("batched clients"). So there are as many
of its clients as the workload has participants, and each is given another client's data every round, drawn by its rank.
APPFL's VanillaTrainer trains them. Its option optimize_memory is off, with which it would collect garbage after every client.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import torch
from appfl.agent import ServerAgent
from appfl.algorithm.trainer.vanilla_trainer import VanillaTrainer
from appfl.comm.mpi import MPIClientCommunicator, MPIServerCommunicator
from appfl.config import ServerAgentConfig
from mpi4py import MPI
from omegaconf import OmegaConf
from torch.utils.data import TensorDataset

from benchmarks.peers.work import (
    Counts,
    Data,
    Order,
    final_loss,
    mean_loss,
    model_of,
    read_order,
    report,
)


class Quiet:
    """A logger that says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


class Server(ServerAgent):
    """APPFL's server with our model, timed: a round is over when the aggregate is there."""

    def __init__(self, order: Order, folder: str) -> None:
        self._order = order
        self.ends: list[float] = []
        super().__init__(
            ServerAgentConfig(
                client_configs=OmegaConf.create({}), server_configs=settings(order, folder)
            )
        )
        aggregate = self.aggregator.aggregate

        def timed(*args: Any, **kwargs: Any) -> Any:
            result = aggregate(*args, **kwargs)
            self.ends.append(perf_counter())
            return result

        self.aggregator.aggregate = timed
        self.logger = Quiet()

    def _load_model(self) -> None:
        self.model = model_of(self._order)

    def _load_loss(self) -> None:
        self.loss_fn = None

    def _load_metric(self) -> None:
        self.metric = None

    def _load_trainer(self) -> None:
        """None here."""


def settings(order: Order, folder: str) -> Any:
    """What APPFL reads of a configuration file."""
    workload = order.workload
    return OmegaConf.create(
        {
            "num_clients": workload.participants,
            "num_global_epochs": order.rounds,
            "scheduler": "SyncScheduler",
            "scheduler_kwargs": {"num_clients": workload.participants, "optimize_memory": False},
            "aggregator": "FedAvgAggregator",
            "aggregator_kwargs": {
                "client_weights_mode": "sample_size" if workload.sigma else "equal",
                "optimize_memory": False,
            },
            "optimize_memory": False,
            "device": order.device.type,
            "logging_output_dirname": folder,
            "logging_output_filename": "server",
        }
    )


def serve(order: Order, comm: Any) -> Server:
    """The server's rank."""
    with tempfile.TemporaryDirectory(prefix="appfl-") as folder:
        server = Server(order, folder)
        server.ends.append(perf_counter())
        MPIServerCommunicator(comm, server, logger=Quiet(), optimize_memory=False).serve()
    return server


def work(order: Order, comm: Any) -> Counts:
    """The rank of a share of the clients."""
    workload, data = order.workload, Data(order)
    mine = [
        int(k)
        for k in np.array_split(np.arange(workload.participants), order.processes)[
            comm.Get_rank() - 1
        ]
    ]
    random = np.random.default_rng([order.seed, comm.Get_rank()])
    link = MPIClientCommunicator(comm, server_rank=0, client_ids=mine, optimize_memory=False)
    model, counts = model_of(order), Counts()
    configuration = {
        "mode": "epoch",
        "num_local_epochs": workload.epochs,
        "train_batch_size": workload.batch_size,
    }
    configuration |= {
        "optim": "SGD",
        "optim_args": {"lr": workload.lr},
        "device": order.device.type,
        "optimize_memory": False,
    }
    weights = link.get_global_model(init_model=True)
    weights = weights[0] if isinstance(weights, tuple) else weights
    for number in range(order.rounds):
        models, told = {}, {}
        drawn = random.choice(workload.clients, len(mine), replace=False).tolist()
        for name, client in zip(mine, drawn, strict=True):
            x, y = data.client(client)
            if workload.epochs:
                samples, configured = TensorDataset(x, y), OmegaConf.create(configuration)
                trainer = VanillaTrainer(
                    model, mean_loss, _no_score, samples, None, configured, Quiet()
                )
                trainer.round = number
                trainer.load_parameters(weights)
                trainer.train()
                models[name] = {
                    key: value.clone() for key, value in trainer.get_parameters()[0].items()
                }
            else:
                models[name] = weights
            told[name] = {"sample_size": len(x)}
            steps = workload.epochs * -(-len(x) // workload.batch_size)
            counts = counts.plus((1, workload.epochs * len(x), steps))
        if workload.sigma:  # the server weighs by the sizes that it was told last
            link.invoke_custom_action("set_sample_size", kwargs=dict(told))
        weights, _ = link.update_global_model(models, kwargs=told)
    link.invoke_custom_action("close_connection")
    return counts


def _no_score(true: Any, scores: Any) -> float:
    return 0.0


def main() -> None:
    """Follow the order; rank 0 reports."""
    order, comm = read_order(sys.argv[1]), MPI.COMM_WORLD
    torch.set_num_threads(1)
    if comm.Get_rank() == 0:
        server, counts = serve(order, comm), np.zeros(3, np.int64)
        comm.Reduce(MPI.IN_PLACE, counts)
        loss = final_loss(server.model, Data(order))
        report(version("appfl"), np.diff(server.ends).tolist(), counts.tolist(), loss)
    else:
        comm.Reduce(np.array(work(order, comm), np.int64), None)


if __name__ == "__main__":
    main()
