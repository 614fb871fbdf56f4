"""``training.optimizer.keep``: a client's optimizer goes on where its last participation ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.demands import demands
from tests.algorithms.reference import Run, assert_close

CASES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "{name: sgd, momentum: 0.9, dampening: 0.1}": partial(torch.optim.SGD, momentum=0.9, dampening=0.1),
    "{name: adam, eps: 0.0001, amsgrad: true}": partial(torch.optim.Adam, eps=1e-4, amsgrad=True),
    "{name: adamw, eps: 0.0001, weight_decay: 0.2}": partial(torch.optim.AdamW, eps=1e-4, weight_decay=0.2),
    "{name: adagrad, initial_accumulator: 0.1, rate_decay: 0.1}": partial(
        torch.optim.Adagrad, initial_accumulator_value=0.1, lr_decay=0.1
    ),
    "{name: rmsprop, eps: 0.001, momentum: 0.5, centered: true}": partial(
        torch.optim.RMSprop, eps=1e-3, momentum=0.5, centered=True
    ),
}  # fmt: skip
ALONE = (
    "data.partition.clients=1",
    "selection.participants=1",
    "clock={mode: all, availability: always}",
    "rounds=4",
    "training.lr=0.01",
    "training.epochs=null",
    "training.local_steps=1",
    "training.batch_size=100000",
)


def optimizer(section: str, keep: bool) -> str:
    return f"training.optimizer={section[:-1]}, keep: {str(keep).lower()}}}"


@pytest.mark.parametrize("section", CASES)
def test_four_rounds_of_one_step_are_four_steps_of_torch_where_it_is_kept(
    tmp_path: Path, section: str
) -> None:
    kept = Run(tmp_path / "kept", *ALONE, optimizer(section, keep=True))
    anew = Run(tmp_path / "anew", *ALONE, optimizer(section, keep=False))

    weights = nn.Parameter(kept.initial.clone())
    torchs = CASES[section]([weights], lr=0.01)
    for number in range(1, 5):
        ((x, y),) = kept.batches(number, 0, 1)
        weights.grad = kept.gradient(weights.detach(), x, y)
        torchs.step()

    assert (kept.state["model"] - weights.detach()).abs().max() < 1e-6
    assert (anew.state["model"] - weights.detach()).abs().max() > 1e-3
    stored = kept.kept(0)
    assert stored["optimizer.steps"].tolist() == [0, 4]
    states = [value for value in torchs.state[weights].values() if value.shape == weights.shape]
    for row in stored["optimizer.values"]:
        assert any((row - state).norm() <= 1e-4 * state.norm() for state in states)


MANY = ("training.lr=0.05", "rounds=6", "data.partition.clients=6", "selection.participants=3")
MOMENTUM = "{name: sgd, momentum: 0.9, nesterov: true}"


def test_each_client_has_a_state_of_its_own(tmp_path: Path) -> None:
    run = Run(tmp_path, *MANY, optimizer(MOMENTUM, keep=True))
    clients: dict[int, Any] = {}
    model = run.initial
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for client, share, steps in participants:
            if client not in clients:
                weights = nn.Parameter(model.clone())
                clients[client] = (
                    weights,
                    torch.optim.SGD([weights], lr=0.05, momentum=0.9, nesterov=True),
                )
            weights, torchs = clients[client]
            weights.data.copy_(model)
            for x, y in run.batches(number, client, steps):
                weights.grad = run.gradient(weights.detach(), x, y)
                torchs.step()
            mean += share * (weights.detach() - model)
        model = model + mean
    assert sum(len(participants) for _, participants in run.rounds()) > len(clients) > 3
    assert_close(run.state["model"], model, atol=5e-5)


def test_what_an_algorithm_trains_besides_begins_anew(tmp_path: Path) -> None:
    kept = optimizer(MOMENTUM, keep=True)
    ditto = Run(tmp_path / "ditto", *MANY, kept, "algorithm=ditto")
    fedavg = Run(tmp_path / "fedavg", *MANY, kept)
    assert torch.equal(ditto.state["model"], fedavg.state["model"])
    client = next(iter(ditto.server.state_rounds))
    assert set(ditto.kept(client)) == {"personal", "optimizer.values", "optimizer.steps"}
    for name in ("optimizer.values", "optimizer.steps"):
        assert torch.equal(ditto.kept(client)[name], fedavg.kept(client)[name])


def test_check_says_what_a_client_keeps() -> None:
    experiment = check_job("quickstart", ["training.optimizer={name: adamw, keep: true}"])[0]
    size = 4 * (2 * experiment.layout.trained + 2)  # type: ignore[attr-defined]
    (line,) = [line for line in demands(experiment) if "keeps" in line]
    assert f"each client that took part keeps {size / 1000:.1f} kB" in line


def test_check_says_that_what_a_client_is_to_keep_is_held_with_its_update() -> None:
    keep = "training.optimizer={name: adamw, keep: true}"
    experiment = check_job("quickstart", [keep, "aggregation=median"])[0]
    size = 4 * (2 * experiment.layout.trained + 2)  # type: ignore[attr-defined]
    (line,) = [line for line in demands(experiment) if "keeps the updates" in line]
    assert line.endswith(f"each, and {size / 1000:.1f} kB that its client is to keep")


REFUSED = {
    "training.optimizer.keep: true is not allowed with sgd without momentum": ("training.optimizer.keep=true",),
    "training.optimizer.keep: true is not allowed with protocol.name gossip; allowed: rounds": (
        "training.optimizer={name: adam, keep: true}", "protocol=gossip", "selection.participants=null",
        "clock.availability=always",
    ),
    "fednova knows the steps of sgd without dampening and keep only": (
        "training.optimizer={momentum: 0.9, keep: true}", "algorithm=fednova",
    ),
}  # fmt: skip


@pytest.mark.parametrize("said", REFUSED)
def test_where_nothing_can_be_kept_it_is_refused_in_a_line(said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_job("quickstart", list(REFUSED[said]))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


NO_STEPS = """
from mpifl.algorithms.fedavg import FedAvg
from mpifl.clock.cost import Cost


class NoSteps(FedAvg):
    name: str = "no_steps"

    def cost(self, layout):
        return Cost(training=0, gradients=1)
"""


def test_an_algorithm_without_local_steps_has_nothing_to_keep(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(NO_STEPS)
    job = ["training.optimizer={name: adam, keep: true}", f"algorithm={file}:NoSteps"]
    with pytest.raises(
        InputError, match=r"keep: true is not allowed with .*which makes no local steps"
    ):
        check_job("quickstart", job)
