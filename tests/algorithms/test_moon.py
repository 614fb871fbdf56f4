"""MOON against the paper's loss written down plainly, and its identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mpifl.algorithms.head import with_features
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from tests.algorithms.reference import NORMED, Run, assert_close, assert_is_fedavg, representation
from tests.small_data import small_data

MU, T = 5.0, 0.4
RATED = "model=matrix_factorisation"
NAME = f"algorithm={{name: moon, mu: {MU}, temperature: {T}}}"


def paper_loss(
    run: Run,
    w: torch.Tensor,
    glob: torch.Tensor,
    prev: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
) -> torch.Tensor:
    """Equations 3 and 4, sample by sample."""
    contrast = torch.tensor(0.0)
    for z, z_glob, z_prev in zip(*(representation(v, x) for v in (w, glob, prev)), strict=True):
        near, far = (
            torch.exp((z @ other) / (z.norm() * other.norm()) / T) for other in (z_glob, z_prev)
        )
        contrast = contrast - torch.log(near / (near + far)) / len(x)
    return cross_entropy(run.output(w, x), y) + MU * contrast


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, NAME)
    lr = run.job.training.lr

    model = run.initial
    previous: dict[int, torch.Tensor] = {}
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for client, share, steps in participants:
            w, prev = model, previous.get(client, run.initial)
            for x, y in run.batches(number, client, steps):
                w = w.detach().requires_grad_()
                loss = paper_loss(run, w, model, prev, x, y)
                w = w.detach() - lr * torch.autograd.grad(loss, w)[0]
            previous[client] = w
            mean += share * (w - model)
        model = model + mean

    assert_close(run.state["model"], model, atol=5e-6)
    assert len(previous) > 5
    for client, expected in previous.items():
        assert_close(run.kept(client)["previous"], expected, atol=5e-6)
    fedavg = Run(tmp_path / "fedavg").state["model"]
    assert (run.state["model"] - fedavg).abs().max() > 1e-3


def test_without_mu_it_is_fedavg_to_the_bit(tmp_path: Path) -> None:
    assert_is_fedavg(tmp_path, "{name: moon, mu: 0}")


def test_a_first_round_has_no_contrast(tmp_path: Path) -> None:
    # The server's and the client's earlier model are both the initial one, as far from the trained one.
    moon, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", "training.engine=loop").state["model"]
        for name in ("{name: moon, mu: 5}", "fedavg")
    )
    assert_close(moon, fedavg)


@pytest.mark.parametrize(
    "steps", ["{batch_size: 16, epochs: 3}", "{batch_size: 16, local_steps: 7}"]
)
def test_the_clock_charges_two_forward_passes_more(tmp_path: Path, steps: str) -> None:
    # Of three that a training sample costs.
    moon, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", f"training={steps}")
        .results[0]
        .plan.timeline.participants
        for name in ("moon", "fedavg")
    )
    np.testing.assert_allclose(moon["compute_seconds"], 5 / 3 * fedavg["compute_seconds"])
    assert (moon["bytes_down"] == fedavg["bytes_down"]).all()
    assert (moon["bytes_up"] == fedavg["bytes_up"]).all()


def test_running_means_are_those_of_the_model_that_is_trained(tmp_path: Path) -> None:
    """The passes through the others leave none behind: without steps in the model they are those of FedAvg."""
    moon, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *NORMED, "training.lr=1e-30").state["model"]
        for name in ("moon", "fedavg")
    )
    assert torch.equal(moon, fedavg)


def test_a_layer_that_is_given_sequences_has_a_representation(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm=moon", "model={name: cnn1d}", "rounds=2")
    assert all(torch.isfinite(array).all() for array in run.state.values())


def test_a_model_without_a_last_layer_is_told_so() -> None:
    """The last weights of a search are those of the architecture."""
    model = "model={name: darts, channels: 4, cells: 1, nodes: 1}"
    experiment = check_job("quickstart", [model])[0]
    assert isinstance(experiment, Experiment)
    with pytest.raises(InputError, match=r"model\.name: no sample goes through \S+, the last"):
        with_features(experiment.model.module, experiment.layout, torch.zeros(2, 8, 8))


def test_tokens_that_go_into_the_last_layer_are_no_features() -> None:
    experiment = check_job("quickstart", [f"data={{name: {small_data('ratings')}}}", RATED])[0]
    assert isinstance(experiment, Experiment)
    with pytest.raises(InputError, match=r"model\.name: tokens go into \S+, the last weights"):
        with_features(
            experiment.model.module, experiment.layout, torch.zeros(2, 2, dtype=torch.int64)
        )
