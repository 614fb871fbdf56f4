"""The floor: a bare PyTorch loop in so many processes, no federated learning at all.

Each process trains its share of the participants, each from a fresh copy of its own weights, and takes the average of what they
made. The processes say nothing to each other; only at the very end are their models averaged, so that the work was for
something. A round is over when every process has been through it; nobody waits.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch

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
from mpifl.seeds import Purpose, generator

_started: Any = None


class Share(NamedTuple):
    """What one process did: when its rounds ended, seconds after the common start, (rounds,), and its model."""

    ends: np.ndarray
    counts: Counts
    weights: list[np.ndarray]


def main() -> None:
    """Follow the order and report."""
    order = read_order(sys.argv[1])
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(order.processes)
    with ProcessPoolExecutor(order.processes, context, _keep, (start,)) as pool:
        shares = list(pool.map(_work, [order] * order.processes, range(order.processes)))
    ends = np.max([share.ends for share in shares], axis=0)
    counts = Counts()
    for share in shares:
        counts = counts.plus(share.counts)
    model = model_of(order)
    with torch.no_grad():
        for tensor, *parts in zip(
            model.parameters(), *(share.weights for share in shares), strict=True
        ):
            tensor.copy_(torch.from_numpy(np.mean(parts, axis=0)))
    report(
        torch.__version__,
        np.diff(ends, prepend=0.0).tolist(),
        counts,
        final_loss(model, Data(order)),
    )


def _keep(start: Any) -> None:
    global _started
    _started = start


def _work(order: Order, process: int) -> Share:
    torch.set_num_threads(1)
    data, model = Data(order), model_of(order)
    clients, random = order.workload.clients, generator(order.seed, Purpose.SELECTION, process)
    mine = order.workload.participants // order.processes + (
        process < order.workload.participants % order.processes
    )
    base = [p.detach().clone() for p in model.parameters()]
    counts, ends = Counts(), np.empty(order.rounds)
    _started.wait()
    begun = perf_counter()
    for k in range(order.rounds):
        chosen = random.choice(clients, mine, replace=False).tolist()
        total = [torch.zeros_like(p) for p in base]
        samples = sum(data.size(client) for client in chosen)
        for client in chosen:
            with torch.no_grad():
                for p, fresh in zip(model.parameters(), base, strict=True):
                    p.copy_(fresh)
            counts = counts.plus(train_client(model, data.client(client), order.workload))
            with torch.no_grad():
                for sum_, p in zip(total, model.parameters(), strict=True):
                    sum_.add_(p, alpha=data.size(client) / samples)
        base = total
        if order.device.type == "cuda":
            torch.cuda.synchronize()
        ends[k] = perf_counter() - begun
    return Share(ends, counts, [p.cpu().numpy() for p in base])


if __name__ == "__main__":
    main()
