"""FedAvg on emulated phones, one step after the other: no MPI, no rounds/ of mpifl, the same bits.

    python examples/plain_fedavg.py [JOB [section.key=value ...]]

prints the model_sha256 of ``mpifl run -n 1 JOB training.engine=loop``. It reads as the algorithm:
who is asked and who completes (the plan), what each client trains, how updates add up exactly.
mpifl does the same on many ranks at a time. It takes a synchronous clock, plain SGD, features as
samples, and models whose tensors are all trained.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mpifl.clock.timeline import ClockState
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.plan.plan import make_plan
from mpifl.seeds import KeyedGenerator, Purpose, number

UNIT = 2.0**-40
"""Updates are added up as integers of this unit: integers have the same sum in any order."""


def train(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    steps: int,
    batch: int,
    lr: float,
    order: np.random.Generator,
):
    """Minibatch SGD on one client's samples, in a new order every epoch."""
    rows: list[torch.Tensor] = []
    for _ in range(steps):
        if not rows:
            rows = list(torch.from_numpy(order.permutation(len(x))).split(batch))
        of_step = rows.pop(0)
        loss = cross_entropy(model(x[of_step]), y[of_step])
        gradients = torch.autograd.grad(loss, tuple(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(gradient, alpha=lr)


def flat(model: torch.nn.Module) -> np.ndarray:
    """Return all weights of a model, float32 (n,)."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]).numpy()


def load(model: torch.nn.Module, weights: np.ndarray) -> None:
    """Set all weights of a model."""
    torch.nn.utils.vector_to_parameters(torch.from_numpy(weights.copy()), model.parameters())


def main(where: str, overrides: list[str]) -> str:
    """Run a job and return the SHA-256 of its final model."""
    torch.set_num_threads(1)
    experiment, _ = check_job(where, [*overrides, "training.engine=loop"])
    job, population, data = experiment.job, experiment.population, experiment.population.data
    torch.manual_seed(number(job.seed, Purpose.MODEL))
    model = job.model.build(data.shape)
    weights = flat(model).copy()
    clock = ClockState()
    orders = KeyedGenerator(job.seed, Purpose.BATCHES)

    for round_number in range(1, job.rounds + 1):
        # Who is asked, and from the traces who completes: known before anything is trained.
        plan = make_plan(job, population, experiment.workload, round_number, clock)
        clock = plan.after
        total = np.zeros(len(weights), np.int64)

        for task in plan.tasks:
            rows = data.train.rows(population.data_client(int(task["client"])))
            x = (
                torch.from_numpy(data.train.x[rows]).float() * data.feature_scale
                + data.feature_shift
            )
            y = torch.from_numpy(data.train.y[rows])
            order = orders(round_number, int(task["client"]))
            load(model, weights)
            train(model, x, y, int(task["steps"]), job.training.batch_size, job.training.lr, order)
            update = (flat(model) - weights).astype(np.float64)
            total += np.rint(update * (task["weight"] / UNIT)).astype(np.int64)

        weights = (weights + job.algorithm.server_lr * (total * UNIT)).astype(np.float32)
        completed, asked = len(plan.tasks), len(plan.timeline.participants)
        seconds = f"{plan.timeline.end_seconds:.1f} s of virtual time"
        print(f"round {round_number}: {completed} of {asked} completed by {seconds}")

    return hashlib.sha256(weights.tobytes()).hexdigest()


if __name__ == "__main__":
    print("model_sha256", main(sys.argv[1] if len(sys.argv) > 1 else "quickstart", sys.argv[2:]))
