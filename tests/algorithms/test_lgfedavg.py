"""LG-FedAvg against the paper's algorithm written down plainly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.algorithms.parted import MODELS, clients_of, followed, head_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import Run, assert_close


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, model: str, engine: str) -> None:
    run = Run(tmp_path, "algorithm=lgfedavg", *MODELS[model], f"training.engine={engine}")
    head = head_of(run)
    expected, own = followed(run, head, run.sgd)

    assert_close(run.state["model"], expected)
    assert_close(run.state["shared"], expected[head])
    assert len(own) > 5
    for client, weights in own.items():
        assert_close(run.kept(client)["own"], weights[~head])


@pytest.mark.parametrize("model", MODELS)
def test_the_head_moves_as_with_fedavg_in_a_first_round(tmp_path: Path, model: str) -> None:
    lgfedavg, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", *MODELS[model])
        for name in ("lgfedavg", "fedavg")
    )
    head = head_of(lgfedavg)
    assert torch.equal(lgfedavg.state["model"][head], fedavg.state["model"][head])
    assert torch.equal(lgfedavg.state["shared"], fedavg.state["model"][head])


@pytest.mark.parametrize("model", MODELS)
def test_layers_below_the_head_stay_with_the_client_and_off_the_air(
    tmp_path: Path, model: str
) -> None:
    run = Run(tmp_path, "algorithm=lgfedavg", *MODELS[model])
    head = head_of(run)
    assert torch.equal(run.state["model"][~head], run.initial[~head])
    participants = run.results[0].plan.timeline.participants
    assert (participants["bytes_down"] == 4 * 170).all()
    assert (participants["bytes_up"] == 4 * 170).all()


@pytest.mark.parametrize("model", MODELS)
def test_the_personal_model_has_the_clients_layers(tmp_path: Path, model: str) -> None:
    run = Run(tmp_path, "algorithm=lgfedavg", "rounds=1", *MODELS[model])
    head = head_of(run)
    for client in clients_of(run):
        personal = personal_model(run, client)
        assert torch.equal(personal[~head], run.kept(client).get("own", run.initial[~head]))
        assert torch.equal(personal[head], run.state["shared"])
