"""Local training: each client on its own, without a byte on the air."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.algorithms.parted import MODELS, clients_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import Run, assert_close


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_five_rounds_are_each_clients_own_steps(tmp_path: Path, model: str, engine: str) -> None:
    run = Run(tmp_path, "algorithm=local", *MODELS[model], f"training.engine={engine}")
    own: dict[int, torch.Tensor] = {}
    for number, participants in run.rounds():
        for client, _, steps in participants:
            own[client] = run.sgd(own.get(client, run.initial), number, client, steps)

    assert len(own) > 5
    for client, expected in own.items():
        assert_close(run.kept(client)["model"], expected)


@pytest.mark.parametrize("model", MODELS)
def test_the_servers_model_stays_the_initial_one_to_the_bit(tmp_path: Path, model: str) -> None:
    run = Run(tmp_path, "algorithm=local", *MODELS[model])
    assert list(run.state) == ["model"]
    assert torch.equal(run.state["model"], run.initial)


def test_nothing_is_on_the_air_and_steps_cost_what_they_do_in_fedavg(tmp_path: Path) -> None:
    local, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("local", "fedavg")
    )
    assert not local["bytes_down"].any()
    assert not local["bytes_up"].any()
    assert (local["compute_seconds"] == fedavg["compute_seconds"]).all()


def test_the_personal_model_is_the_clients_own(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm=local", "rounds=1")
    trained, untrained = (personal_model(run, client) for client in clients_of(run))
    assert torch.equal(trained, run.kept(clients_of(run)[0])["model"])
    assert torch.equal(untrained, run.initial)


@pytest.mark.parametrize("clock", ["{mode: async, concurrency: 6}", "{mode: sync}"])
def test_any_clock_may_ask_clients(tmp_path: Path, clock: str) -> None:
    one = ("selection.participants=1",) if "async" in clock else ()
    run = Run(tmp_path, "algorithm=local", f"clock={clock}", *one)
    assert torch.equal(run.state["model"], run.initial)
    assert run.server.state_rounds
