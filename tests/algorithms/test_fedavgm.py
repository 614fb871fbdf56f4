"""FedAvgM against the paper's formula and torch's SGD, and its identity.

Flower's FedAvgM (1.28) has the same arithmetic: a step on random updates agrees to 1e-6. It has no Nesterov momentum.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.algorithms.reference import Run, assert_close


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm={name: fedavgm, momentum: 0.7, server_lr: 0.8}")

    model = run.initial
    v = torch.zeros_like(model)
    for number, participants in run.rounds():
        v = 0.7 * v - run.mean_update(model, number, participants)
        model = model - 0.8 * v

    assert_close(run.state["model"], model)


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_server_makes_the_steps_of_torchs_sgd(tmp_path: Path, nesterov: bool) -> None:
    run = Run(tmp_path, f"algorithm={{name: fedavgm, momentum: 0.6, nesterov: {nesterov}}}")

    model = run.initial.clone()
    sgd = torch.optim.SGD([model], lr=1.0, momentum=0.6, nesterov=nesterov)
    for number, participants in run.rounds():
        model.grad = -run.mean_update(model, number, participants)
        sgd.step()

    assert_close(run.state["model"], model)


@pytest.mark.parametrize("nesterov", [False, True])
def test_without_momentum_it_is_fedavg_to_the_bit(tmp_path: Path, nesterov: bool) -> None:
    options = f"{{name: fedavgm, momentum: 0, server_lr: 0.7, nesterov: {nesterov}}}"
    still = Run(tmp_path / "a", f"algorithm={options}")
    fedavg = Run(tmp_path / "b", "algorithm={name: fedavg, server_lr: 0.7}")
    assert torch.equal(still.state["model"], fedavg.state["model"])


def test_it_costs_what_fedavg_costs(tmp_path: Path) -> None:
    moved, fedavg = (
        Run(tmp_path / name, f"algorithm={name}").results[0].plan.timeline.participants
        for name in ("fedavgm", "fedavg")
    )
    assert (moved == fedavg).all()
