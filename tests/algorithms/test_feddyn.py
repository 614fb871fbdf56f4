"""FedDyn against the paper's algorithm written down plainly, and on quadratics where its minimum is known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.algorithms.feddyn import FedDyn
from mpifl.algorithms.requests import Train, Trained
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.optimizers.adjust import Adjust
from tests.algorithms.reference import EQUAL, Run, assert_close
from tests.algorithms.sides import context, sent, start, step, uploaded
from tests.known import known

CURVATURE = torch.tensor([[1.0, 2.0, 0.5], [3.0, 0.2, 1.0], [0.4, 1.0, 2.0]])
MINIMUM = torch.tensor([[2.0, 0.0, -1.0], [-3.0, 1.0, 4.0], [0.0, -2.0, 1.0]])
"""The loss of client i is the sum of CURVATURE[i] / 2 (y - MINIMUM[i])^2."""


@pytest.mark.parametrize("engine", ["loop", "stacked"])
@pytest.mark.parametrize("alpha", [0.01, 0.5])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, alpha: float, engine: str) -> None:
    name = f"algorithm={{name: feddyn, alpha: {alpha}}}"
    run = Run(tmp_path, name, f"training.engine={engine}")

    model, h = run.initial, torch.zeros_like(run.initial)
    kept: dict[int, torch.Tensor] = {}
    for number, participants in run.rounds():
        models = []
        for client, _, steps in participants:
            own = kept.get(client, torch.zeros_like(model))

            def change(g: Any, y: Any, own: Any = own, x: Any = model) -> Any:
                return g - own + alpha * (y - x)

            models.append(run.sgd(model, number, client, steps, change=change))
            kept[client] = own - alpha * (models[-1] - model)
        h = h - alpha / run.clients * sum(y - model for y in models)
        model = torch.stack(models).mean(0) - h / alpha

    assert_close(run.state["model"], model, atol=5e-6)
    assert_close(run.state["h"], h)
    assert len(kept) > 5
    for client, expected in kept.items():
        assert_close(run.kept(client)["gradient"], expected)


def minimised(client: int, request: Train) -> Trained:
    """The minimum of a client's loss with the changes of gradients that it asks for."""
    adjust = request.adjust
    assert isinstance(adjust, Adjust)
    towards = adjust.pull * known(adjust.towards)
    y = CURVATURE[client] * MINIMUM[client] + towards - known(adjust.add)
    return Trained(request.start, y / (CURVATURE[client] + adjust.pull), 0.0, 3)


def test_where_steps_find_the_minimum_the_kept_vector_is_the_gradient_there() -> None:
    x, algorithm = torch.tensor([1.0, -1.0, 0.5]), FedDyn(alpha=0.7)
    kept: dict[str, torch.Tensor] = {}
    for _ in range(3):
        c = context({"model": x}, kept)
        upload, _ = uploaded(algorithm, c, lambda request: minimised(1, request))
        kept = upload.keep
        y = x + upload.arrays["update"]
        torch.testing.assert_close(kept["gradient"], CURVATURE[1] * (y - MINIMUM[1]))
        x = y + 1  # the server goes elsewhere


def test_it_ends_in_the_minimum_of_the_mean_loss() -> None:
    algorithm = FedDyn(alpha=0.7)
    kept: list[dict[str, torch.Tensor]] = [{}, {}, {}]
    state = start(algorithm, np.array([1.0, -1.0, 0.5], np.float32))
    for _ in range(100):
        changes = []
        for client in range(3):
            c = context({"model": torch.from_numpy(state["model"])}, kept[client])
            upload, _ = uploaded(algorithm, c, partial(minimised, client))
            kept[client] = upload.keep
            changes.append(sent(upload, "update").double().numpy())
        state = step(algorithm, state, {"update": np.mean(changes, axis=0)}, 3, 3)

    best = (CURVATURE * MINIMUM).sum(0) / CURVATURE.sum(0)
    np.testing.assert_allclose(state["model"], best.numpy(), atol=1e-4)
    drifted = MINIMUM.mean(0)  # where the mean of the clients' own minima is
    assert (drifted - best).abs().max() > 0.1


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_with_alpha_0_it_is_fedavg_without_weights_to_the_bit(tmp_path: Path, engine: str) -> None:
    feddyn, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *EQUAL, f"training.engine={engine}")
        for name in ("{name: feddyn, alpha: 0}", "fedavg")
    )
    assert torch.equal(feddyn.state["model"], fedavg.state["model"])
    assert not feddyn.state["h"].any()


def test_every_participant_counts_the_same() -> None:
    assert FedDyn().weight(np.array([1, 1000, 5])).tolist() == [1, 1, 1]


def test_the_clock_charges_what_fedavg_costs(tmp_path: Path) -> None:
    feddyn, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("feddyn", "fedavg")
    )
    assert (feddyn == fedavg).all()


def test_refuses_a_clock_whose_participants_train_from_different_models() -> None:
    job = {"rounds": 1, "model": "logreg", "selection": "uniform", "algorithm": "feddyn"}
    with pytest.raises(InputError, match=r"'async' is not allowed with algorithm.name feddyn"):
        FedDyn().check(parse_job({**job, "clock": {"mode": "async", "concurrency": 6}}))
