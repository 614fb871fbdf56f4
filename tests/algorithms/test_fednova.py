"""FedNova against the paper: its update, the L1 norms of a_i in closed form, and with work that a clock cuts short."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mpifl.algorithms.fednova import FedNova, norm_of_a
from mpifl.errors import InputError
from mpifl.job import read_job
from mpifl.optimizers.sgd import Sgd
from tests.algorithms.reference import Run, assert_close

LR = 0.1
DEADLINE = "clock={mode: deadline, quantile: 0.4, availability: always}"


def norm(steps: int, rho: float, mu: float) -> float:
    """The paper's |a_i| for momentum rho or a proximal term mu, one of the two."""
    if rho:
        return (steps - rho * (1 - rho**steps) / (1 - rho)) / (1 - rho)
    return (1 - (1 - LR * mu) ** steps) / (LR * mu) if mu else steps


def trained(
    run: Run, start: torch.Tensor, number: int, client: int, steps: int, rho: float, mu: float
) -> torch.Tensor:
    """The weights after SGD with momentum, on the loss with the proximal term."""
    weights = start
    velocity = torch.zeros_like(start)
    for x, y in run.batches(number, client, steps):
        velocity = rho * velocity + run.gradient(weights, x, y) + mu * (weights - start)
        weights = weights - LR * velocity
    return weights


@pytest.mark.parametrize("clock", ["clock.mode=all", DEADLINE], ids=["all", "deadline"])
@pytest.mark.parametrize(("rho", "mu"), [(0, 0), (0.7, 0), (0, 0.9)])
def test_five_rounds_are_those_of_the_paper(
    tmp_path: Path, rho: float, mu: float, clock: str
) -> None:
    optimizer = f"training.optimizer={{name: sgd, momentum: {rho}}}"
    run = Run(tmp_path, f"algorithm={{name: fednova, mu: {mu}}}", optimizer, clock)

    model = run.initial
    unequal = 0
    for number, participants in run.rounds():
        samples = sum(len(run.samples(client)[1]) for client, _, _ in participants)
        d = torch.zeros_like(model)
        tau_eff = 0.0
        for client, _, steps in participants:
            p = len(run.samples(client)[1]) / samples
            a = norm(steps, rho, mu)
            d += p * (trained(run, model, number, client, steps, rho, mu) - model) / a
            tau_eff += p * a
        model = model + tau_eff * d
        unequal += len({steps for _, _, steps in participants}) > 1

    assert unequal == 5
    assert_close(run.state["model"], model)


def test_clients_that_make_the_same_steps_are_averaged_as_fedavg_does(tmp_path: Path) -> None:
    steps = "training={batch_size: 16, local_steps: 3, lr: 0.1}"
    fednova, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", steps) for name in ("fednova", "fedavg")
    )
    assert_close(fednova.state["model"], fedavg.state["model"])


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_the_norms_are_the_papers(steps: int) -> None:
    assert norm_of_a(steps, Sgd(), 0.0, 1.0) == steps
    momentum = norm_of_a(steps, Sgd(momentum=0.8), 0.0, 1.0)
    assert momentum == pytest.approx(norm(steps, 0.8, 0))
    assert norm_of_a(steps, Sgd(), LR * 0.5, 1.0) == pytest.approx(norm(steps, 0, 0.5))
    assert norm_of_a(steps, Sgd(), 0.0, 0.9) == pytest.approx((1 - 0.9**steps) / (1 - 0.9))


@pytest.mark.parametrize("nesterov", [False, True])
def test_with_everything_at_once_they_are_the_way_of_torchs_sgd(nesterov: bool) -> None:
    weight = torch.zeros(1, dtype=torch.float64)
    sgd = torch.optim.SGD([weight], lr=LR, momentum=0.8, nesterov=nesterov)
    for number in range(9):
        sgd.param_groups[0]["lr"] = LR * 0.95**number
        weight.grad = 1.0 + 0.5 * weight
        sgd.step()
    found = norm_of_a(9, Sgd(momentum=0.8, nesterov=nesterov), LR * 0.5, 0.95)
    assert found == pytest.approx(-weight.item() / LR)


def test_a_clock_that_cuts_work_short_does_not_change_shares(tmp_path: Path) -> None:
    fednova, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", DEADLINE) for name in ("fednova", "fedavg")
    )
    tasks = [result.plan.tasks for result in fednova.results]
    held = [[len(fednova.samples(client)[1]) for client in round_["client"]] for round_ in tasks]
    for round_, own in zip(tasks, held, strict=True):
        assert round_["weight"].tolist() == pytest.approx([n / sum(own) for n in own])
    assert any((round_["samples"] < own).any() for round_, own in zip(tasks, held, strict=True))

    work = [result.plan.tasks for result in fedavg.results]
    for round_ in work:
        assert round_["weight"] == pytest.approx(round_["samples"] / round_["samples"].sum())


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.optimizer={name: sgd, momentum: 0.5, dampening: 0.1}", "training.optimizer"),
        ("training.clip_norm=1", "training.clip_norm"),
        ("clock={mode: async, concurrency: 5}", "clock.mode"),
    ],
)
def test_refuses_steps_that_it_does_not_know(override: str, named: str) -> None:
    job = read_job("quickstart", ["algorithm={name: fednova, mu: 0.1}", override])
    with pytest.raises(InputError, match=named):
        FedNova(mu=0.1).check(job)


def test_a_participant_uploads_one_number_more(tmp_path: Path) -> None:
    fednova, fedavg = (
        Run(tmp_path / name, f"algorithm={name}").results[0].plan.timeline.participants
        for name in ("fednova", "fedavg")
    )
    assert (fednova["bytes_up"] == fedavg["bytes_up"] + 4).all()
    assert (fednova["bytes_down"] == fedavg["bytes_down"]).all()
    assert (fednova["compute_seconds"] == fedavg["compute_seconds"]).all()
