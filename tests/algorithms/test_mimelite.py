"""MimeLite against the paper's algorithm written down plainly, and its identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.algorithms.mimelite import MimeLite
from mpifl.errors import InputError
from mpifl.job import parse_job
from tests.algorithms.reference import EQUAL, NORMED, Run, assert_close

BETA = 0.8


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, engine: str) -> None:
    run = Run(tmp_path, f"algorithm={{name: mimelite, beta: {BETA}}}", f"training.engine={engine}")

    x, m = run.initial, torch.zeros_like(run.initial)
    for number, participants in run.rounds():
        models, gradients = [], []
        for client, _, steps in participants:
            momentum = lambda g, y, m=m: (1 - BETA) * g + BETA * m  # noqa: E731
            models.append(run.sgd(x, number, client, steps, change=momentum))
            gradients.append(run.gradient(x, *run.samples(client)))
        x = torch.stack(models).mean(0)
        m = (1 - BETA) * torch.stack(gradients).mean(0) + BETA * m

    assert_close(run.state["model"], x)
    assert_close(run.state["momentum"], m)


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_without_momentum_it_is_fedavg_without_weights_to_the_bit(
    tmp_path: Path, engine: str
) -> None:
    mimelite, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *EQUAL, f"training.engine={engine}")
        for name in ("{name: mimelite, beta: 0}", "fedavg")
    )
    assert torch.equal(mimelite.state["model"], fedavg.state["model"])


def test_the_clock_charges_the_gradient_and_the_momentum(tmp_path: Path) -> None:
    mimelite, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("mimelite", "fedavg")
    )
    # One epoch is planned, and the gradient is another pass.
    assert (mimelite["compute_seconds"] == 2 * fedavg["compute_seconds"]).all()
    assert (mimelite["bytes_down"] == 2 * fedavg["bytes_down"]).all()
    assert (mimelite["bytes_up"] == 2 * fedavg["bytes_up"]).all()


def test_running_means_have_no_momentum(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm=mimelite", *NORMED)
    averages = run.layout.averages
    assert not run.state["momentum"][averages].any()
    assert not torch.equal(run.state["model"][averages], run.initial[averages])


def test_every_participant_counts_the_same() -> None:
    assert MimeLite().weight(np.array([1, 1000, 5])).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"training": {"optimizer": {"name": "sgd", "momentum": 0.5}}}, "assumes plain SGD"),
        ({"training": {"clip_norm": 1.0}}, "not clipped"),
        ({"clock": {"mode": "async", "concurrency": 6}}, "the same model"),
    ],
)
def test_refuses_what_it_is_not_made_for(section: dict[str, object], said: str) -> None:
    job = {"rounds": 1, "model": "logreg", "selection": "uniform", "algorithm": "mimelite"}
    with pytest.raises(InputError, match=said):
        MimeLite().check(parse_job({**job, **section}))
