"""Flower on a workload: FedAvg of its Message API on its simulation engine, a Ray actor for each process at work.

The client trains as ``work.train_client`` does: Flower leaves that to the user. In a workload without training it sends the
arrays back as they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from time import perf_counter
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn

from benchmarks.peers.work import (
    Counts,
    Data,
    Order,
    final_loss,
    model_of,
    read_order,
    report,
    train_client,
)


@cache
def kept(path: str) -> tuple[Order, Data, nn.Module]:
    """What an actor keeps from client to client."""
    torch.set_num_threads(1)
    order = read_order(path)
    return order, Data(order), model_of(order)


def trained(path: str, message: Message, context: Context) -> Message:
    """One client's reply."""
    order, data, model = kept(path)
    client = int(context.node_config["partition-id"])
    arrays, counts = message.content["arrays"], Counts(1)
    if order.workload.epochs:
        model.load_state_dict(arrays.to_torch_state_dict())
        counts = train_client(model, data.client(client), order.workload)
        arrays = ArrayRecord(model.state_dict())
    metrics = MetricRecord(
        {"num-examples": data.size(client), "samples": counts.samples, "steps": counts.steps}
    )
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def clients(path: str) -> ClientApp:
    """The client's side. Ray sends it anew with every message, and of ``trained`` only the name: so that it can keep things."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return trained(path, message, context)

    return app


class Timed(FedAvg):
    """FedAvg that keeps the time at which each round's model is there, and counts what came back."""

    def __init__(self, order: Order) -> None:
        share = order.workload.participants / order.workload.clients
        super().__init__(
            fraction_train=share,
            fraction_evaluate=0.0,
            min_train_nodes=order.workload.participants,
            min_evaluate_nodes=0,
            min_available_nodes=order.workload.clients,
        )
        self.ends: list[float] = []
        self.counts = Counts()

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        """A round's end."""
        replies = list(replies)
        for reply in replies:
            if reply.has_content():
                metrics = reply.content["metrics"]
                self.counts = self.counts.plus((1, metrics["samples"], metrics["steps"]))
        result = super().aggregate_train(server_round, replies)
        self.ends.append(perf_counter())
        return result


def servers(order: Order) -> ServerApp:
    """The server's side, which reports."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        model = model_of(order)
        strategy = Timed(order)
        begun = perf_counter()
        result = strategy.start(
            grid, ArrayRecord(model.state_dict()), num_rounds=order.rounds, timeout=3600
        )
        model.load_state_dict(result.arrays.to_torch_state_dict())
        seconds = np.diff(strategy.ends, prepend=begun).tolist()
        report(version("flwr"), seconds, strategy.counts, final_loss(model, Data(order)))

    return app


def main() -> None:
    """Follow the order."""
    order = read_order(sys.argv[1])
    torch.set_num_threads(1)
    resources = {
        "num_cpus": 1,
        "num_gpus": 1 / order.processes if order.device.type == "cuda" else 0.0,
    }
    backend = {
        "client_resources": resources,
        "init_args": {"num_cpus": order.processes, "include_dashboard": False},
    }
    run_simulation(
        servers(order), clients(sys.argv[1]), order.workload.clients, backend_config=backend
    )


if __name__ == "__main__":
    from benchmarks.peers import flower  # by its name, under which the actors find it

    flower.main()
