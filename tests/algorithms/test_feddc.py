"""FedDC against the paper's algorithm written down plainly, on quadratics, and its identities."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.algorithms.feddc import FedDC
from mpifl.algorithms.requests import Train, Trained
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.reference import EQUAL, Run, assert_close
from tests.algorithms.sides import context, sent, start, step, uploaded
from tests.algorithms.test_feddyn import CURVATURE, MINIMUM

EVERYBODY = (*EQUAL, "selection.participants=12")


@pytest.mark.parametrize("engine", ["loop", "stacked"])
@pytest.mark.parametrize("alpha", [0.01, 0.5])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, alpha: float, engine: str) -> None:
    """With the paper's g: the last update of each client, and the mean of all."""
    run = Run(tmp_path, f"algorithm={{name: feddc, alpha: {alpha}}}", f"training.engine={engine}")
    lr = run.job.training.lr

    w = run.initial
    h = torch.zeros(run.clients, len(w))
    g = torch.zeros(run.clients, len(w))  # divided by each client's own K
    came = set()
    for number, participants in run.rounds():
        models = []
        mean_g = g.mean(0)
        for client, _, steps in participants:
            own, others = g[client].clone(), mean_g

            def change(
                gradient: Any,
                y: Any,
                own: Any = own,
                others: Any = others,
                i: int = client,
                w: Any = w,
            ) -> Any:
                return gradient + alpha * (y + h[i] - w) + (own - others) / lr

            y = run.sgd(w, number, client, steps, change=change)
            models.append(y)
            g[client] = (y - w) / steps
            came.add(client)
        updates = [y - w for y in models]
        for (client, *_), update in zip(participants, updates, strict=True):
            h[client] += update
        w = torch.stack(models).mean(0) + h.mean(0)

    assert len(came) > 5
    assert_close(run.state["model"], w, atol=1e-5)
    assert_close(run.state["drift"], h.mean(0), atol=5e-6)
    assert_close(run.state["gradient"], -g.mean(0) / lr, atol=5e-5)
    for client in came:
        assert_close(run.kept(client)["drift"], h[client], atol=1e-5)


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_its_first_round_with_everybody_is_fedprox_of_twice_the_step_to_the_bit(
    tmp_path: Path, engine: str
) -> None:
    """Nobody has drifted yet, and then everybody has by the update."""
    feddc, fedprox = (
        Run(
            tmp_path / name[7:12],
            f"algorithm={name}",
            *EVERYBODY,
            "rounds=1",
            f"training.engine={engine}",
        )
        for name in ("{name: feddc, alpha: 0.3}", "{name: fedprox, mu: 0.3, server_lr: 2}")
    )
    assert torch.equal(feddc.state["model"], fedprox.state["model"])


def descended(client: int, request: Train, lr: float, steps: int) -> Trained:
    """Many steps on a client's quadratic loss with the changes that it asks for."""
    adjust: Any = request.adjust
    y = request.start
    for _ in range(steps):
        gradient = CURVATURE[client] * (y - MINIMUM[client])
        y = y - lr * (gradient + adjust.pull * (y - adjust.towards) + adjust.add)
    return Trained(request.start, y, 0.0, steps)


def test_it_ends_in_the_minimum_of_the_mean_loss_and_drifts_cancel() -> None:
    algorithm, lr, steps = FedDC(alpha=1.0), 0.02, 5
    kept: list[dict[str, torch.Tensor]] = [{}, {}, {}]
    state = start(algorithm, np.array([1.0, -1.0, 0.5], np.float32))
    for _ in range(600):
        received = {name: torch.from_numpy(state[name].copy()) for name in ("model", "gradient")}
        uploads = []
        for client in range(3):
            c = context(received, kept[client], lr=lr)
            serve = partial(descended, client, lr=lr, steps=steps)
            uploads.append(uploaded(algorithm, c, serve)[0])
            kept[client] = uploads[-1].keep
        mean = {
            name: torch.stack([sent(upload, name) for upload in uploads]).double().mean(0).numpy()
            for name in ("update", "gradient")
        }
        state = step(algorithm, state, mean, 3, 3)

    best = (CURVATURE * MINIMUM).sum(0) / CURVATURE.sum(0)
    np.testing.assert_allclose(state["model"], best.numpy(), atol=1e-3)
    assert (MINIMUM.mean(0) - best).abs().max() > 0.1
    np.testing.assert_allclose(state["drift"], 0, atol=1e-3)


def test_everybody_counts_the_same() -> None:
    assert FedDC().weight(np.array([1, 1000, 5])).tolist() == [1, 1, 1]


def test_the_clock_charges_fedavgs_steps_and_two_arrays_each_way(tmp_path: Path) -> None:
    feddc, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("feddc", "fedavg")
    )
    assert (feddc["compute_seconds"] == fedavg["compute_seconds"]).all()
    assert (feddc["bytes_down"] == 2 * fedavg["bytes_down"]).all()
    assert (feddc["bytes_up"] == 2 * fedavg["bytes_up"]).all()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (["clock={mode: async, concurrency: 9}"], "clock.mode: 'async' is not allowed with"),
        (["training.optimizer.momentum=0.9"], "training.optimizer: 'sgd' with these options is"),
        (["training.lr_decay=0.9"], "training.lr_decay: 0.9 is not allowed: feddc assumes one"),
    ],
)
def test_what_it_cannot_divide_by_one_learning_rate_is_refused(job: list[str], said: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        check_job("quickstart", ["algorithm=feddc", "selection.participants=5", *job])


def test_without_the_pull_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"algorithm\.alpha"):
        check_job("quickstart", ["algorithm={name: feddc, alpha: 0}"])
