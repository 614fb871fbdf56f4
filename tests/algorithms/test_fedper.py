"""FedPer against the paper's algorithm written down plainly, and what all algorithms that share a part have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.parted import MODELS, body_of, clients_of, followed, head_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import SETTING, Run, assert_close

PARTED = ("fedbabu", "fedper", "fedrep", "lgfedavg")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, model: str, engine: str) -> None:
    run = Run(tmp_path, "algorithm=fedper", *MODELS[model], f"training.engine={engine}")
    head = head_of(run)
    expected, own = followed(run, ~head, run.sgd)

    assert_close(run.state["model"], expected)
    assert_close(run.state["shared"], expected[~head])
    assert len(own) > 5
    for client, weights in own.items():
        assert_close(run.kept(client)["own"], weights[head])


@pytest.mark.parametrize("model", MODELS)
def test_the_servers_head_is_the_initial_one(tmp_path: Path, model: str) -> None:
    run = Run(tmp_path, "algorithm=fedper", *MODELS[model])
    head = head_of(run)
    assert torch.equal(run.state["model"][head], run.initial[head])
    assert not torch.isclose(run.state["model"][~head], run.initial[~head]).all()


@pytest.mark.parametrize("model", MODELS)
def test_the_shared_part_moves_as_with_fedavg_in_a_first_round(tmp_path: Path, model: str) -> None:
    fedper, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", *MODELS[model])
        for name in ("fedper", "fedavg")
    )
    shared = ~head_of(fedper)
    assert torch.equal(fedper.state["model"][shared], fedavg.state["model"][shared])
    assert torch.equal(fedper.state["shared"], fedavg.state["model"][shared])


@pytest.mark.parametrize("model", MODELS)
def test_the_personal_model_has_the_clients_head_and_else_the_initial_one(
    tmp_path: Path, model: str
) -> None:
    run = Run(tmp_path, "algorithm=fedper", "rounds=1", *MODELS[model])
    head = head_of(run)
    for client in clients_of(run):
        personal = personal_model(run, client)
        own = run.kept(client).get("own", run.initial[head])
        assert torch.equal(personal[head], own)
        assert torch.equal(personal[~head], run.state["shared"])
    assert not torch.equal(run.kept(clients_of(run)[0])["own"], run.initial[head])


@pytest.mark.parametrize("model", MODELS)
def test_only_the_shared_part_is_on_the_air(tmp_path: Path, model: str) -> None:
    run = Run(tmp_path, "algorithm=fedper", "rounds=1", *MODELS[model])
    participants = run.results[0].plan.timeline.participants
    entries = int((~head_of(run)).sum())
    assert entries == int(body_of(run).sum()) + run.layout.averaged
    assert (participants["bytes_down"] == 4 * entries).all()
    assert (participants["bytes_up"] == 4 * entries).all()


def test_the_clock_charges_what_fedavg_computes(tmp_path: Path) -> None:
    fedper, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("fedper", "fedavg")
    )
    assert (fedper["compute_seconds"] == fedavg["compute_seconds"]).all()


def test_a_head_of_more_layers_by_name(tmp_path: Path) -> None:
    names = ["3.weight", "3.bias", "5.weight", "5.bias"]
    setting = ("model={name: mlp, hidden: [16, 8]}", f"algorithm={{name: fedper, head: {names}}}")
    run = Run(tmp_path, *setting)
    head = torch.zeros(run.layout.size, dtype=torch.bool)
    head[16 * 65 :] = True
    expected, own = followed(run, ~head, run.sgd)
    assert_close(run.state["model"], expected)
    for client, weights in own.items():
        assert_close(run.kept(client)["own"], weights[head], atol=2e-6)


def test_late_updates_move_running_means_by_their_weight(tmp_path: Path) -> None:
    settings = ("selection.participants=1", "rounds=9", "clock={mode: async, concurrency: 6}")
    run = Run(tmp_path, "algorithm=fedper", *MODELS["batch norm"], *settings)
    averages = run.layout.averages
    assert_close(run.state["shared"][-run.layout.averaged :], run.state["model"][averages])
    assert not torch.equal(run.state["model"][averages], run.initial[averages])


@pytest.mark.parametrize("name", PARTED)
@pytest.mark.parametrize(
    "model", ["logreg", "{name: sized, parameters: 1000}"], ids=["logreg", "sized"]
)
def test_a_model_without_layers_below_its_head_is_refused(name: str, model: str) -> None:
    engine = [] if model == "logreg" else ["training.engine=none"]
    overrides = [*SETTING, f"algorithm={name}", f"model={model}", *engine]
    with pytest.raises(InputError, match=f"algorithm.name: '{name}' is not allowed: .* has none"):
        check_job("quickstart", overrides)


@pytest.mark.parametrize("name", PARTED)
def test_a_head_that_the_model_does_not_have_is_refused(name: str) -> None:
    overrides = [*SETTING, f"algorithm={{name: {name}, head: [5.weight]}}"]
    with pytest.raises(
        InputError,
        match=r"algorithm\.head: '5\.weight' is not allowed; allowed: 1\.weight, .*3\.bias",
    ):
        check_job("quickstart", overrides)
