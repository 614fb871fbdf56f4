"""FedRep against the paper's algorithm written down plainly, and its identity."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.algorithms.fedrep import FedRep
from tests.algorithms.parted import MODELS, body_of, clients_of, followed, head_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import EQUAL, Run, assert_close

HEAD_STEPS = 7


def alternated(run: Run, w: torch.Tensor, number: int, client: int, steps: int) -> torch.Tensor:
    """Steps of the head with the body fixed, then steps of the body with the head fixed."""
    head, body = head_of(run), body_of(run)
    w = run.sgd(w, number, client, HEAD_STEPS, change=lambda g, _: g * head)
    return run.sgd(w, number, client, steps, request=1, change=lambda g, _: g * body)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, model: str, engine: str) -> None:
    name = f"algorithm={{name: fedrep, head_steps: {HEAD_STEPS}}}"
    run = Run(tmp_path, name, *MODELS[model], f"training.engine={engine}")
    head = head_of(run)
    expected, own = followed(run, ~head, partial(alternated, run))

    assert_close(run.state["model"], expected)
    assert_close(run.state["shared"], expected[~head])
    assert len(own) > 5
    for client, weights in own.items():
        assert_close(run.kept(client)["own"], weights[head])


def test_without_steps_of_the_head_it_is_fedbabu_without_weights_to_the_bit(tmp_path: Path) -> None:
    fedrep, fedbabu = (
        Run(tmp_path / name, f"algorithm={name}", *EQUAL).state
        for name in ("{name: fedrep, head_steps: 0}", "fedbabu")
    )
    assert torch.equal(fedrep["model"], fedbabu["model"])


def test_every_participant_counts_the_same() -> None:
    assert FedRep().weight(np.array([1, 1000, 5])).tolist() == [1, 1, 1]


def test_the_personal_model_has_the_clients_head(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm=fedrep", "rounds=1")
    head = head_of(run)
    for client in clients_of(run):
        personal = personal_model(run, client)
        assert torch.equal(personal[head], run.kept(client).get("own", run.initial[head]))
        assert torch.equal(personal[~head], run.state["shared"])


@pytest.mark.parametrize(
    "steps", ["{batch_size: 16, epochs: 2}", "{batch_size: 16, local_steps: 9}"]
)
def test_the_clock_charges_the_steps_of_the_head(tmp_path: Path, steps: str) -> None:
    fedrep, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", f"training={steps}", *EQUAL)
        .results[0]
        .plan.timeline.participants
        for name in ("{name: fedrep, head_steps: 6}", "fedavg")
    )
    # 96 samples in batches of 16: six steps are a pass.
    planned = 12 if "epochs" in steps else 9
    ratio = (planned + 6) / planned
    np.testing.assert_allclose(fedrep["compute_seconds"], ratio * fedavg["compute_seconds"])
    assert (fedrep["bytes_up"] == fedavg["bytes_up"] - 4 * 170).all()
