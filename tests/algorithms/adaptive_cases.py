"""What the tests of FedAdagrad, FedAdam and FedYogi share: the paper's algorithm 2, but for its line on v."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tests.algorithms.reference import Run, assert_close

SecondMoment = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def assert_five_rounds(
    folder: Path, name: str, options: str, beta_1: float, tau: float, eta: float, v_of: SecondMoment
) -> None:
    """Compare a run with arXiv 2003.00295, algorithm 2, where ``v_of(v, delta)`` is the line on v."""
    given = f"server_lr: {eta}, beta_1: {beta_1}, tau: {tau}"
    run = Run(folder, f"algorithm={{name: {name}, {given}{options}}}")

    model = run.initial
    m = torch.zeros_like(model)
    v = torch.full_like(model, tau**2)
    for number, participants in run.rounds():
        delta = run.mean_update(model, number, participants)
        m = beta_1 * m + (1 - beta_1) * delta
        v = v_of(v, delta)
        model = model + eta * m / (v.sqrt() + tau)

    assert not torch.equal(run.state["model"], run.initial)
    for kept, expected in (("model", model), ("m", m), ("v", v)):
        assert_close(run.state[kept], expected)


def assert_costs_of_fedavg(folder: Path, name: str) -> None:
    """Check that clock and bytes are those of FedAvg."""
    adaptive, fedavg = (
        Run(folder / algorithm, f"algorithm={algorithm}").results[0].plan.timeline.participants
        for algorithm in (name, "fedavg")
    )
    assert (adaptive == fedavg).all()
