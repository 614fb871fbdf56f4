"""APFL against the paper's algorithm written down plainly, and its identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.errors import InputError
from tests.algorithms.modules import trained
from tests.algorithms.personal import personal_model
from tests.algorithms.plug_ins import BATCH_NORM, EVEN
from tests.algorithms.reference import Run, assert_close

ALPHA = 0.3
FIXED = f"algorithm={{name: apfl, alpha: {ALPHA}}}"
ADAPTIVE = f"algorithm={{name: apfl, alpha: {ALPHA}, adaptive: true}}"


@pytest.mark.parametrize("algorithm", [FIXED, ADAPTIVE])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, algorithm: str) -> None:
    run = Run(tmp_path, algorithm)
    lr = run.job.training.lr

    model = run.initial
    own: dict[int, torch.Tensor] = {}
    alphas: dict[int, torch.Tensor | float] = {}
    for number, participants in run.rounds():
        after = []
        for client, _, steps in participants:
            w, v, alpha = model, own.get(client, model), alphas.get(client, ALPHA)
            for step, (x, y) in enumerate(run.batches(number, client, steps)):
                gradient = run.gradient(alpha * v + (1 - alpha) * w, x, y)
                slope = float((v - w) @ gradient)
                v, w = v - lr * alpha * gradient, w - lr * run.gradient(w, x, y)
                if algorithm == ADAPTIVE and step == 0:
                    alpha = min(max(alpha - lr * slope, 0), 1)
            after.append(w)
            own[client], alphas[client] = v, alpha
        model = torch.stack(after).mean(0)

    assert_close(run.state["model"], model)
    assert len(own) > 5
    assert (len(set(alphas.values())) > 3) == (algorithm == ADAPTIVE)
    for client, v in own.items():
        kept = run.kept(client)
        assert_close(kept["v"], v)
        assert float(kept["alpha"]) == pytest.approx(alphas[client], abs=1e-6)
        mixed = alphas[client] * v + (1 - alphas[client]) * model
        assert_close(personal_model(run, client), mixed)


def test_its_shared_model_is_that_of_fedavg_to_the_bit(tmp_path: Path) -> None:
    for name, model in (("mlp", "model={name: mlp, hidden: [16]}"), ("batch norm", BATCH_NORM)):
        apfl = Run(tmp_path / f"apfl {name}", FIXED, model)
        fedavg = Run(tmp_path / f"fedavg {name}", EVEN, "training.engine=loop", model)
        assert torch.equal(apfl.state["model"], fedavg.state["model"])


def test_with_alpha_1_a_clients_model_is_its_own_training_and_with_0_the_global_model(
    tmp_path: Path,
) -> None:
    ones, zeros = (
        Run(tmp_path / str(alpha), f"algorithm={{name: apfl, alpha: {alpha}}}", "rounds=3")
        for alpha in (1, 0)
    )
    own: dict[int, torch.Tensor] = {}
    model = ones.initial
    for number, participants in ones.rounds():
        after = []
        for client, _, steps in participants:
            own[client] = ones.sgd(own.get(client, model), number, client, steps)
            after.append(ones.sgd(model, number, client, steps))
        model = torch.stack(after).mean(0)
    for client, expected in own.items():
        assert_close(personal_model(ones, client), expected)
        assert torch.equal(personal_model(zeros, client), zeros.state["model"])


def test_the_mixture_has_batch_norm_statistics_of_its_own(tmp_path: Path) -> None:
    # With alpha 1 the mixture is v, trained on its own from the initial model on.
    run = Run(tmp_path, "algorithm={name: apfl, alpha: 1}", BATCH_NORM, "rounds=1")
    ((number, participants),) = run.rounds()
    for client, _, steps in participants:
        expected = trained(run, run.initial, number, client, steps)
        assert_close(run.kept(client)["v"], expected)


def test_the_clock_charges_both_trainings(tmp_path: Path) -> None:
    apfl, fedavg = (
        Run(tmp_path / str(number), *overrides, "rounds=1").results[0].plan.timeline.participants
        for number, overrides in enumerate([[FIXED], []])
    )
    np.testing.assert_allclose(apfl["compute_seconds"], 2 * fedavg["compute_seconds"], rtol=1e-12)
    assert (apfl["bytes_up"] == fedavg["bytes_up"]).all()
    assert (apfl["bytes_down"] == fedavg["bytes_down"]).all()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.optimizer={name: sgd, momentum: 0.9}", "apfl assumes plain SGD"),
        ("training.lr_decay=0.9", "training.lr_decay: 0.9 is not allowed: apfl assumes one"),
        ("training.clip_norm=1", "training.clip_norm: 1 is not allowed with algorithm.name apfl"),
    ],
)
def test_steps_that_its_own_model_would_not_get_are_refused(
    tmp_path: Path, override: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        Run(tmp_path, FIXED, override)
