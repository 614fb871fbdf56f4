"""Flower's FaultTolerantFedAvg: FedAvg in rounds that enough complete, and nothing in the others.

In Flower (1.28), of 4 clients asked 1 is too few for a share of 0.5, and 2 are enough; its mean of the two agrees to 1e-6.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mpifl.algorithms.faulttolerant import FaultTolerant
from mpifl.errors import InputError
from mpifl.job import read_job
from tests.algorithms.reference import Run, assert_close
from tests.algorithms.sides import start, step
from tests.normed import HERE

DEADLINE = "clock={mode: deadline, partial: false, seconds: 15, availability: always}"


def test_five_rounds_of_which_some_are_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm={name: faulttolerant, min_completed_share: 0.6}", DEADLINE)

    model = run.initial
    moved = 0
    for number, participants in run.rounds():
        if len(participants) >= 3:
            model = model + run.mean_update(model, number, participants)
            moved += 1

    assert 0 < moved < 5
    assert_close(run.state["model"], model)


@pytest.mark.parametrize("clock", ["clock={mode: all}", "clock={mode: sync}"])
def test_where_enough_complete_it_is_fedavg_to_the_bit(tmp_path: Path, clock: str) -> None:
    tolerant = Run(tmp_path / "a", "algorithm={name: faulttolerant, server_lr: 0.7}", clock)
    fedavg = Run(tmp_path / "b", "algorithm={name: fedavg, server_lr: 0.7}", clock)
    assert torch.equal(tolerant.state["model"], fedavg.state["model"])


def test_a_round_that_is_left_out_leaves_running_statistics_too(tmp_path: Path) -> None:
    # Of 7 who are asked 5 complete, and the clock cuts 2.
    strict = "algorithm={name: faulttolerant, min_completed_share: 0.8}"
    run = Run(tmp_path, strict, "clock={mode: sync}", f"model={{name: '{HERE}:Normed'}}")
    assert run.experiment.layout.averaged
    assert torch.equal(run.state["model"], run.initial)


@pytest.mark.parametrize(("completed", "moves"), [(1, False), (2, True), (3, True), (4, True)])
def test_half_of_those_asked_are_enough(completed: int, moves: bool) -> None:
    algorithm = FaultTolerant()
    state = start(algorithm, torch.zeros(2).numpy())
    after = step(algorithm, state, {"update": torch.ones(2).numpy()}, completed, asked=4)
    assert (after["model"] == 1).all() == moves


def test_needs_rounds(tmp_path: Path) -> None:
    job = read_job("quickstart", ["algorithm=faulttolerant", "clock={mode: async, concurrency: 5}"])
    with pytest.raises(InputError, match=r"clock\.mode"):
        FaultTolerant().check(job)


def test_it_costs_what_fedavg_costs(tmp_path: Path) -> None:
    tolerant, fedavg = (
        Run(tmp_path / name, f"algorithm={name}").results[0].plan.timeline.participants
        for name in ("faulttolerant", "fedavg")
    )
    assert (tolerant == fedavg).all()
