"""Plain federated learning to compare with: no engines, no exact sums, one client after the other, in float32.

``Run`` runs a job of mpifl in this process. A test then writes the algorithm down again from its paper, with ``Run``'s
data, participants and order of samples, and compares the server's arrays: five rounds, equal to 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

import tests.normed
from mpifl.mpi.world import connect
from mpifl.rounds.aggregator import run_aggregator
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import RoundResult
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.rounds.server.server import make_server
from mpifl.seeds import KeyedGenerator, Purpose
from mpifl.state.checkpoint import Checkpoints, last_checkpoint
from tests.known import known

SETTING = (
    "rounds=5",
    "data.partition={name: dirichlet, alpha: 0.3, clients: 12, min_samples: 5}",
    "model={name: mlp, hidden: [16]}",
    "training={batch_size: 16, epochs: 1, lr: 0.1}",
    "selection.participants=5",
    "clock={mode: all, availability: always}",
    "evaluation.every=100",
)
"""Everybody who is asked completes, so that who takes part does not depend on an algorithm's cost."""

EQUAL = (
    "data.partition={name: iid, clients: 12}",
    "data.split={by: samples, test: 0.2}",
)
"""Twelve clients of 96 samples each: a mean weighted by samples is the unweighted one."""

NORMED = (
    f"model={{name: '{tests.normed.HERE}:Normed', hidden: [16]}}",
    *EQUAL,
)
"""A network with batch norm; all batches are full, so that none is dropped."""

Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def pulled(towards: torch.Tensor, factor: float) -> Change:
    """Return the change by the gradient of factor/2 |w - towards|^2."""
    return lambda gradient, weights: gradient + factor * (weights - towards)


def shifted(by: torch.Tensor) -> Change:
    """Return the change that adds a vector."""
    return lambda gradient, weights: gradient + by


class NoRecords:
    """A run.h5 that is not there."""

    def rows(self) -> dict[str, int]:
        return {}

    def to_disk(self) -> None:
        return


class Run:
    """A run of mpifl in this process, and what a plain program needs in order to do the same.

    ``state`` is the server's after the last round, ``initial`` the first model, ``clients`` how many there are.
    With ``resume`` it goes on from the last checkpoint in the folder.
    """

    def __init__(
        self, folder: Path, *overrides: str, checkpoint_every: int = 10**6, resume: bool = False
    ) -> None:
        experiment = check_job("quickstart", [*SETTING, *overrides])[0]
        assert isinstance(experiment, Experiment)
        self.experiment = experiment
        self.job = experiment.job
        self.initial = torch.from_numpy(experiment.initial.copy())
        self.clients = experiment.population.clients
        self.results: list[RoundResult] = []
        self.store = ClientStore(folder / "clients", experiment.kept_shapes)
        self._orders = KeyedGenerator(self.job.seed, Purpose.BATCHES)

        snapshot = last_checkpoint(folder) if resume else Snapshot()
        assert snapshot is not None
        server = make_server(experiment, snapshot)
        checkpoints = Checkpoints(folder, checkpoint_every, keep=1, records=NoRecords())
        callbacks = RunCallbacks(Snapshot(), self.results.append, checkpoints, lambda: False)
        run_aggregator(connect(), server, self.store, callbacks)
        checkpoints.close()  # a run that resumes it finds the last one
        self.server = server
        self.state = {name: torch.from_numpy(array) for name, array in server.state.items()}
        self.layout = experiment.layout
        experiment.model.module.train()

    def rounds(self) -> Iterator[tuple[int, list[tuple[int, float, int]]]]:
        """Yield each round: its number, and for each participant (client, share of the mean, local steps)."""
        for result in self.results:
            tasks = np.sort(result.plan.tasks, order="client")
            rows = [(int(t["client"]), float(t["weight"]), int(t["steps"])) for t in tasks]
            yield result.plan.round_number, rows

    def samples(self, client: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a client's training samples."""
        data = self.experiment.population.data
        rows = data.train.rows(client)
        scale: Any = data.feature_scale  # a number or an array
        x = torch.from_numpy(data.train.x[rows]).float() * scale + data.feature_shift
        return x, torch.from_numpy(known(data.train.y)[rows])

    def kept(self, client: int) -> dict[str, torch.Tensor]:
        """Return what a client kept when it last took part; empty where it never did."""
        last = self.server.state_rounds.get(client, 0)
        arrays = self.store.read(client, last) if last else {}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def batches(
        self, round_number: int, client: int, steps: int, request: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the minibatches of a client's local steps: a new order for every epoch.

        ``request`` counts the program's requests of local steps, Evaluate and Gradient, from 0.
        """
        x, y = self.samples(client)
        order = self._orders(round_number, client, request)
        rows: list[torch.Tensor] = []
        for _ in range(steps):
            if not rows:
                permutation = torch.from_numpy(order.permutation(len(x)))
                rows = list(permutation.split(self.job.training.batch_size))
            batch = rows.pop(0)
            yield x[batch], y[batch]

    def output(self, weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return what the model with flat ``weights`` says of ``x``; differentiable."""
        return self._called(weights, x)[0]

    def _called(self, weights: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the model's output, and the averaged segment after it."""
        named = {
            name: weights[where].view(self.layout.shapes[name])
            for name, where in self.layout.slices.items()
        }
        buffers = {
            name: named[name].detach().clone()
            for name, where in self.layout.slices.items()
            if where.start >= self.layout.trained
        }
        output = functional_call(self.experiment.model.module, named | buffers, (x,))
        return output, torch.cat([torch.empty(0), *(each.flatten() for each in buffers.values())])

    def loss(self, weights: torch.Tensor, client: int) -> float:
        """Return the mean loss of ``weights`` on a client's samples."""
        x, y = self.samples(client)
        return float(cross_entropy(self.output(weights, x), y))

    def gradient(self, weights: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the mean loss on a batch."""
        weights = weights.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(self.output(weights, x), y), weights)
        return gradient

    def sgd(
        self,
        weights: torch.Tensor,
        round_number: int,
        client: int,
        steps: int,
        request: int = 0,
        change: Change = lambda gradient, weights: gradient,
        lr: float | None = None,
    ) -> torch.Tensor:
        """Return the weights after local steps of SGD; ``change(gradient, weights)`` is the gradient used."""
        lr = self.job.training.lr if lr is None else lr
        for x, y in self.batches(round_number, client, steps, request):
            averages = self._called(weights, x)[1]
            weights = weights - lr * change(self.gradient(weights, x, y), weights)
            weights[self.layout.averages] = averages
        return weights

    def mean_update(
        self, weights: torch.Tensor, round_number: int, participants: list[tuple[int, float, int]]
    ) -> torch.Tensor:
        """Return the weighted mean of what FedAvg's participants, one of ``rounds``, change of ``weights``."""
        mean = torch.zeros_like(weights)
        for client, share, steps in participants:
            mean += share * (self.sgd(weights, round_number, client, steps) - weights)
        return mean


def assert_close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, expected.to(found.dtype), atol=atol, rtol=0)


def representation(weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What the last layer of the mlp of 64, 16 and 10 units is given, (samples, 16)."""
    weight, bias = weights[: 16 * 64].view(16, 64), weights[16 * 64 : 16 * 65]
    return torch.relu(x.flatten(1) @ weight.T + bias)


def prototype_gradient(
    run: Run,
    weights: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    prototypes: dict[int, torch.Tensor],
    lam: float,
) -> torch.Tensor:
    """The gradient of the cross-entropy + lam times the mean squared distance to prototypes."""
    weights = weights.detach().requires_grad_()
    distance = torch.zeros(())
    for feature, label in zip(representation(weights, x), y.tolist(), strict=True):
        if label in prototypes:
            distance = distance + (feature - prototypes[label]).square().mean() / len(y)
    loss = cross_entropy(run.output(weights, x), y) + lam * distance
    (gradient,) = torch.autograd.grad(loss, weights)
    return gradient


def assert_is_fedavg(folder: Path, algorithm: str, *overrides: str) -> None:
    """An algorithm with these options gives the model of FedAvg, to the bit, and its rounds."""
    one, fedavg = (
        Run(folder / str(number), f"algorithm={name}", *overrides)
        for number, name in enumerate((algorithm, "fedavg"))
    )
    assert torch.equal(one.state["model"], fedavg.state["model"])
    rounds, others = (run.results[0].plan.timeline.participants for run in (one, fedavg))
    assert (rounds == others).all()


def assert_resumes_alike(folder: Path, *overrides: str) -> None:
    """A run of 4 rounds that goes on from a checkpoint after 2 has its server's arrays, and what clients keep, to the bit."""
    whole = Run(folder / "whole", *overrides, "rounds=4")
    Run(folder / "part", *overrides, "rounds=2", checkpoint_every=1)
    resumed = Run(folder / "part", *overrides, "rounds=4", resume=True)
    assert resumed.results[0].plan.round_number == 2  # it is tested after its checkpoint
    assert set(resumed.state) == set(whole.state)
    for name, array in whole.state.items():
        assert torch.equal(resumed.state[name], array), name
    for client in whole.server.state_rounds:
        for name, array in whole.kept(client).items():
            assert torch.equal(resumed.kept(client)[name], array)
