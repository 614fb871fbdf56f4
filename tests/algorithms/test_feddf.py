"""FedDF against the paper's algorithm written down plainly, and its identities."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import Purpose, generator
from tests.algorithms.plug_ins import BATCH_NORM
from tests.algorithms.public import PUBLIC, matched, public_inputs
from tests.algorithms.reference import SETTING, Run, assert_close

FEDDF = "algorithm={name: feddf, distil_steps: 12, distil_batch: 20, public_samples: 50, distil_lr: 0.01}"


def divergence(own: torch.Tensor, teachers: torch.Tensor) -> torch.Tensor:
    """KL(teachers | own), the mean over the samples."""
    p = teachers.softmax(1)
    return (p * (p.log() - own.log_softmax(1))).sum(1).mean()


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, PUBLIC, FEDDF)
    model = run.initial.clone()
    rates = [0.01 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    for number, participants in run.rounds():
        x = public_inputs(run, number, 50)
        mean, logits = torch.zeros_like(model), torch.zeros(50, 10)
        for client, share, steps in participants:
            own = run.sgd(model, number, client, steps)
            mean += share * own
            logits += run.output(own, x).detach() / len(participants)
        random = generator(run.job.seed, Purpose.SERVER, number)
        model = matched(run, mean, x, logits, divergence, 20, rates, random)
    assert_close(run.state["model"], model)


@pytest.mark.parametrize("model", ["model={name: mlp, hidden: [16]}", BATCH_NORM])
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_without_steps_it_is_fedavg_to_the_bit(tmp_path: Path, model: str, engine: str) -> None:
    same = (PUBLIC, model, f"training.engine={engine}")
    feddf = Run(tmp_path / "a", "algorithm={name: feddf, distil_steps: 0}", *same)
    fedavg = Run(tmp_path / "b", *same)
    assert torch.equal(feddf.state["model"], fedavg.state["model"])


def test_a_participant_sends_its_model_and_computes_its_local_steps() -> None:
    work = check_job("quickstart", [*SETTING, PUBLIC, FEDDF])[0].workload
    plain = check_job("quickstart", [*SETTING, PUBLIC])[0].workload
    assert work == plain


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "it needs public samples"),
        ([PUBLIC, "algorithm.public_samples=100000"], "algorithm.public_samples: 100000 is not"),
        ([PUBLIC, "attacks=[{name: zero, share: 0.2}]"], "attacks: not allowed with"),
        ([PUBLIC, "secure_aggregation=secagg"], "its server looks at what single clients send"),
        (
            [PUBLIC, "model={name: darts, channels: 4, cells: 1}"],
            "model.name: 'darts' is not allow",
        ),
        ([PUBLIC, "exchange.up=[int8]"], "exchange.up: not allowed with algorithm.name feddf"),
        ([PUBLIC, "clock={mode: async, concurrency: 5}"], "clock.mode: 'async' is not allowed"),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_line(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_job("quickstart", [*SETTING, "algorithm=feddf", *overrides])
