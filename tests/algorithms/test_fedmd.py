"""FedMD against the paper's algorithm written down plainly, and what it costs."""

from __future__ import annotations

from pathlib import Path

import torch

from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import Purpose, generator
from tests.algorithms.parted import clients_of
from tests.algorithms.personal import personal_model
from tests.algorithms.public import PUBLIC, matched, public_inputs
from tests.algorithms.reference import SETTING, Run, assert_close

FEDMD = "algorithm={name: fedmd, digest_epochs: 2, digest_batch: 30, public_samples: 50, digest_lr: 0.01}"


def distance(own: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (own - targets).abs().mean()


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    """Communicate, aggregate and distribute at the end of a round; digest and revisit in the next."""
    run = Run(tmp_path, PUBLIC, FEDMD, "selection.participants=8")
    own: dict[int, torch.Tensor] = {}
    consensus = torch.zeros(50, 10)
    for number, participants in run.rounds():
        logits = torch.zeros(50, 10)
        for client, _, steps in participants:
            model = own.get(client, run.initial)
            if number > 1:
                random = generator(run.job.seed, Purpose.CLIENT, number, client)
                x = public_inputs(run, number - 1, 50)
                rates = [0.01] * 4  # two passes of 30 and 20 samples
                model = matched(run, model, x, consensus, distance, 30, rates, random)
            own[client] = run.sgd(model, number, client, steps, request=int(number > 1))
            x = public_inputs(run, number, 50)
            logits += run.output(own[client], x).detach() / len(participants)
        consensus = logits

    assert_close(run.state["consensus"], consensus)
    for client, model in own.items():
        assert_close(run.kept(client)["model"], model)
    assert torch.equal(run.state["model"], run.initial)


def test_a_client_is_tested_with_its_own_model(tmp_path: Path) -> None:
    run = Run(tmp_path, PUBLIC, FEDMD, "rounds=2", "selection.participants=3")
    took_part, other = clients_of(run)
    assert torch.equal(personal_model(run, took_part), run.kept(took_part)["model"])
    assert torch.equal(personal_model(run, other), run.initial)


def test_a_participant_pays_for_logits_and_for_its_passes_over_public_samples() -> None:
    work = check_job("quickstart", [*SETTING, PUBLIC, FEDMD])[0].workload
    assert (work.bytes_down, work.bytes_up) == (4 * (50 * 10 + 1), 4 * 50 * 10)
    assert work.cost.public == 2 * 50 + 50 / 3
