"""FedBABU against the paper's algorithm written down plainly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.algorithms.parted import MODELS, body_of, followed, head_of
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


def test_the_personal_model_is_the_servers_to_be_tuned_as_the_evaluation_says(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, "algorithm=fedbabu", "rounds=1")
    assert torch.equal(personal_model(run, 3), run.state["model"])


def test_the_clock_charges_what_fedavg_computes(tmp_path: Path) -> None:
    fedbabu, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("fedbabu", "fedavg")
    )
    assert (fedbabu["compute_seconds"] == fedavg["compute_seconds"]).all()
