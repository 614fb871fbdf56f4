"""FedML on a workload: its MPI simulator FedAvg_seq (Parrot), a server rank and one rank for each process at work.

FedML's own trainer, batches cut beforehand as its loader of MNIST does; it does not shuffle. Its scheduler is on (it plans from
the seventh round on). fedml.init is left out: it asks a server on the internet for its settings.
"""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import torch
from fedml.ml.aggregator.default_aggregator import DefaultServerAggregator
from fedml.ml.trainer.my_model_trainer_classification import ModelTrainerCLS
from fedml.simulation.mpi.fedavg_seq.FedAvgSeqAPI import FedML_FedAvgSeq_distributed
from mpi4py import MPI
from torch import nn

from benchmarks.peers.work import Counts, Data, Order, final_loss, model_of, read_order, report


class ClassesSecond(nn.Module):
    """A model of sequences as FedML's loss wants it: scores (batch, classes, length)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores, the last two axes changed over."""
        scores: torch.Tensor = self.module(tokens)
        return scores.transpose(1, 2)


class Batches(Mapping[int, list[tuple[torch.Tensor, torch.Tensor]]]):
    """The batches of each client, cut when they are asked for: FedML would hold all of them on every rank."""

    def __init__(self, order: Order, data: Data) -> None:
        self._order, self._data = order, data

    def __getitem__(self, client: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        x, y = self._data.client(client)
        size = self._order.workload.batch_size
        return list(zip(x.split(size), y.split(size), strict=True))

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return self._order.workload.clients


class Trainer(ModelTrainerCLS):
    """FedML's trainer, counted."""

    counts = Counts()

    def train(self, train_data: Any, device: Any, args: Any) -> None:
        """One client's."""
        super().train(train_data, device, args)
        done = (1, args.epochs * sum(len(y) for _, y in train_data), args.epochs * len(train_data))
        self.counts = self.counts.plus(done)


class Server(DefaultServerAggregator):
    """FedML's server side, timed: a round is over when the new model is set. What it would test at the end is left to us."""

    def __init__(self, model: nn.Module, args: Any) -> None:
        super().__init__(model, args)
        self.ends = [perf_counter()]

    def set_model_params(self, model_parameters: Any) -> None:
        """A round has ended."""
        super().set_model_params(model_parameters)
        self.ends.append(perf_counter())

    def test(self, test_data: Any, device: Any, args: Any) -> None:
        """Nothing."""


def main() -> None:
    """Follow the order; rank 0 reports."""
    order = read_order(sys.argv[1])
    workload, data, comm = order.workload, Data(order), MPI.COMM_WORLD
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    model = model_of(order)
    learned = ClassesSecond(model) if workload.vocabulary else model
    args = settings(order)
    trainer, server = Trainer(learned, args), Server(learned, args)
    sizes = {client: data.size(client) for client in range(workload.clients)}
    batches = Batches(order, data)
    dataset = [
        sum(sizes.values()),
        0,
        None,
        None,
        sizes,
        batches,
        dict.fromkeys(sizes),
        workload.classes,
    ]
    MPI.Finalize = lambda: None  # FedML ends MPI itself; here counts are to be added up after it
    rank = comm.Get_rank()
    FedML_FedAvgSeq_distributed(
        args, rank, comm.Get_size(), comm, order.device, dataset, learned, trainer, server
    )
    counts = np.array(trainer.counts)
    comm.Reduce(MPI.IN_PLACE if rank == 0 else counts, counts if rank == 0 else None)
    if rank == 0:
        report(
            version("fedml"),
            np.diff(server.ends).tolist(),
            counts.tolist(),
            final_loss(model, data),
        )
    sys.stdout.flush()
    comm.Barrier()


def settings(order: Order) -> Namespace:
    """What FedML reads of a configuration file."""
    workload = order.workload
    return Namespace(
        training_type="simulation",
        backend="MPI",
        federated_optimizer="FedAvg_seq",
        dataset="drawn",
        client_num_in_total=workload.clients,
        client_num_per_round=workload.participants,
        worker_num=order.processes,
        comm_round=order.rounds,
        epochs=workload.epochs,
        batch_size=workload.batch_size,
        client_optimizer="sgd",
        learning_rate=workload.lr,
        weight_decay=0.0,
        frequency_of_the_test=order.rounds + 1,
        enable_wandb=False,
        simulation_schedule="LinearFit-DP",
        runtime_est_mode="time_window",
        random_seed=order.seed,
        run_id="0",
        rank=0,
    )


if __name__ == "__main__":
    main()
