"""FedBABU against the paper's algorithm written down plainly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mpifl.rounds.personal import PERSONAL_PART
from tests.algorithms.parted import MODELS, body_of, clients_of, followed, head_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import Run, assert_close


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, model: str, engine: str) -> None:
    run = Run(tmp_path, "algorithm=fedbabu", *MODELS[model], f"training.engine={engine}")
    head, body = head_of(run), body_of(run)

    def work(w: torch.Tensor, number: int, client: int, steps: int) -> torch.Tensor:
        return run.sgd(w, number, client, steps, change=lambda g, _: g * body)

    expected, own = followed(run, ~head, work)
    assert_close(run.state["model"], expected)
    assert_close(run.state["shared"], expected[~head])
    assert all(torch.equal(weights[head], run.initial[head]) for weights in own.values())


@pytest.mark.parametrize("model", MODELS)
def test_the_head_is_neither_trained_nor_sent_nor_kept(tmp_path: Path, model: str) -> None:
    run = Run(tmp_path, "algorithm=fedbabu", *MODELS[model])
    head = head_of(run)
    assert torch.equal(run.state["model"][head], run.initial[head])
    assert not run.server.state_rounds
    assert not run.store.folder.exists()

    participants = run.results[0].plan.timeline.participants
    assert (participants["bytes_down"] == 4 * int((~head).sum())).all()
    assert (participants["bytes_up"] == 4 * int((~head).sum())).all()


@pytest.mark.parametrize("steps", [None, 4])
def test_the_personal_model_is_the_whole_model_after_steps_on_the_clients_samples(
    tmp_path: Path, steps: int | None
) -> None:
    option = "" if steps is None else f", fine_tune_steps: {steps}"
    run = Run(tmp_path, f"algorithm={{name: fedbabu{option}}}", "rounds=1")
    batch = run.job.training.batch_size
    for client in clients_of(run):
        planned = -(-len(run.samples(client)[0]) // batch)
        keys = (1, client, steps or planned, PERSONAL_PART)
        expected = run.sgd(run.state["model"], *keys)
        assert_close(personal_model(run, client), expected)


def test_without_steps_the_personal_model_is_the_servers(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm={name: fedbabu, fine_tune_steps: 0}")
    assert torch.equal(personal_model(run, 3), run.state["model"])


def test_the_clock_charges_what_fedavg_computes(tmp_path: Path) -> None:
    fedbabu, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("fedbabu", "fedavg")
    )
    assert (fedbabu["compute_seconds"] == fedavg["compute_seconds"]).all()
