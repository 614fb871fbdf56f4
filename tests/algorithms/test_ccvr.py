"""CCVR against the paper's equations written down plainly, and torch's own optimizer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.ccvr import Ccvr, gaussians_of, virtual_features
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import Purpose, generator
from tests.algorithms.reference import Run, assert_close, representation

BODY = 16 * 64 + 16
"""Entries of the mlp's first layer; those of the last one come behind them."""
EVERYBODY = ("selection.participants=12", "rounds=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run of FedAvg, and a file with its model."""
    folder = tmp_path_factory.mktemp("trained")
    run = Run(folder, "data.partition.alpha=0.1")
    tensors = {
        name: run.state["model"][where].view(run.layout.shapes[name]).clone()
        for name, where in run.layout.slices.items()
    }
    save_file(tensors, folder / "m.safetensors")
    return run, folder / "m.safetensors"


def calibrated(folder: Path, initial: Path, *overrides: str, **options: float) -> Run:
    keys = ", ".join(f"{key}: {value}" for key, value in {"name": "ccvr", **options}.items())
    job = "data.partition.alpha=0.1", f"model.initial={initial}", f"algorithm={{{keys}}}"
    return Run(folder, *job, *overrides)


def features_of(run: Run, client: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = run.samples(client)
    return representation(run.initial, x).double().numpy(), y.numpy()


def test_gaussians_are_those_of_all_samples_and_those_of_the_paper(
    tmp_path: Path, trained: tuple[Run, Path]
) -> None:
    run = calibrated(tmp_path, trained[1], "selection.participants=5", "rounds=3")
    taken = sorted({client for _, rows in run.rounds() for client, *_ in rows})
    assert len(taken) < sum(len(rows) for _, rows in run.rounds())  # some came again
    each = [features_of(run, client) for client in taken]
    z, y = (np.concatenate(parts) for parts in zip(*each, strict=True))
    state = {name: run.state[name].numpy() for name in ("counts", "sums", "squares")}
    assert state["counts"].tolist() == np.bincount(y, minlength=10).tolist()

    found = gaussians_of(state["counts"], state["sums"], state["squares"])
    assert [label for label, *_ in found] == sorted(set(y.tolist()))
    for label, mean, covariance in found:
        own = z[y == label]
        np.testing.assert_allclose(mean, own.mean(0), atol=1e-5)
        np.testing.assert_allclose(covariance, np.cov(own.T), atol=1e-4)

        of_clients = [features[labels == label] for features, labels in each]
        of_clients = [part for part in of_clients if len(part) > 1]
        if sum(map(len, of_clients)) < len(own):
            continue  # the paper divides by N - 1 of each client
        n = len(own)
        of_paper = -n / (n - 1) * np.outer(mean, mean)
        for part in of_clients:
            mu = part.mean(0)
            of_paper += (len(part) - 1) / (n - 1) * np.cov(part.T)
            of_paper += len(part) / (n - 1) * np.outer(mu, mu)
        np.testing.assert_allclose(covariance, of_paper, atol=1e-3)


def test_features_have_the_mean_and_covariance_of_their_class() -> None:
    random = np.random.default_rng(3)
    root = random.standard_normal((4, 3))
    low_rank = root @ root.T  # of rank 3: one value is 0, or a little less
    gaussians = [(2, np.arange(4.0), low_rank), (5, np.full(4, 7.0), np.zeros((4, 4)))]
    features, labels = virtual_features(gaussians, 200_000, random)
    assert labels.bincount().tolist() == [0, 0, 200_000, 0, 0, 200_000]
    own = features[labels == 2].double().numpy()
    np.testing.assert_allclose(own.mean(0), np.arange(4.0), atol=0.03)
    np.testing.assert_allclose(np.cov(own.T), low_rank, atol=0.1)
    assert (features[labels == 5] == 7).all()


def test_a_class_with_one_sample_is_a_point_and_one_without_is_left_out() -> None:
    counts, sums = np.array([1.0, 0.0]), np.array([[2.0, 3.0], [0.0, 0.0]])
    ((label, mean, covariance),) = gaussians_of(counts, sums, np.einsum("ci,cj->cij", sums, sums))
    assert (label, mean.tolist()) == (0, [2, 3])
    assert not covariance.any()


def test_the_last_layer_is_trained_as_torch_does_it_and_no_other(
    tmp_path: Path, trained: tuple[Run, Path]
) -> None:
    options = {"virtual": 30, "epochs": 3, "batch_size": 32, "lr": 0.01}
    run = calibrated(tmp_path, trained[1], *EVERYBODY, **options)
    before, after = run.initial, run.state["model"]
    assert torch.equal(after[:BODY], before[:BODY])

    random = generator(run.job.seed, Purpose.SERVER, 1)
    sums = {name: run.state[name].double().numpy() for name in ("counts", "sums", "squares")}
    gaussians = gaussians_of(**sums)
    features, labels = virtual_features(gaussians, 30, random)
    head = nn.Linear(16, 10)
    head.weight.data = before[BODY:-10].view(10, 16).clone()
    head.bias.data = before[-10:].clone()
    adam = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(3):
        for rows in torch.from_numpy(random.permutation(len(labels))).split(32):
            adam.zero_grad()
            cross_entropy(head(features[rows]), labels[rows]).backward()
            adam.step()
    assert_close(
        after[BODY:], torch.cat([head.weight.detach().flatten(), head.bias.detach()]), 1e-4
    )


def test_without_passes_the_model_stays_to_the_bit(
    tmp_path: Path, trained: tuple[Run, Path]
) -> None:
    run = calibrated(tmp_path, trained[1], *EVERYBODY, epochs=0)
    assert torch.equal(run.state["model"], trained[0].state["model"])


def test_a_model_of_skewed_clients_becomes_better(
    tmp_path: Path, trained: tuple[Run, Path]
) -> None:
    run = calibrated(tmp_path, trained[1], *EVERYBODY)
    before, after = (
        np.mean([run.loss(model, client) for client in range(run.clients)])
        for model in (run.initial, run.state["model"])
    )
    assert after < 0.8 * before


def test_a_client_counts_once(tmp_path: Path, trained: tuple[Run, Path]) -> None:
    one, three = (
        calibrated(tmp_path / str(n), trained[1], "selection.participants=12", f"rounds={n}")
        for n in (1, 3)
    )
    for name in ("counts", "sums", "squares"):
        assert torch.equal(one.state[name], three.state[name])
    assert not torch.equal(one.state["model"], three.state["model"])


def test_the_clock_charges_one_pass_forward_and_what_is_sent(
    tmp_path: Path, trained: tuple[Run, Path]
) -> None:
    ccvr = calibrated(tmp_path / "ccvr", trained[1], "rounds=1")
    fedavg = Run(tmp_path / "fedavg", "rounds=1", "data.partition.alpha=0.1")
    one, other = (run.results[0].plan.timeline.participants for run in (ccvr, fedavg))
    np.testing.assert_allclose(one["compute_seconds"], other["compute_seconds"] / 3)
    assert (one["bytes_down"] == other["bytes_down"]).all()
    assert (one["bytes_up"] == 4 * 10 * (1 + 16 + 16 * 16)).all()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (["clock={mode: async, concurrency: 9}"], "clock.mode: 'async' is not allowed with"),
        (["aggregation=median"], "aggregation.name: 'median' is not allowed with algorithm.name"),
        (["training.transform=mixup"], "training.transform.name: 'mixup' is not allowed with"),
        (["model=darts"], "algorithm.name: 'ccvr' is not allowed: it needs a model whose last"),
        (
            [
                "privacy={name: gaussian, noise_multiplier: 1}",
                "exchange.up=[{name: clip, norm: 1}]",
            ],
            "privacy.name: 'gaussian' is not allowed with algorithm.name ccvr: its server adds up",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(job: list[str], said: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        check_job("quickstart", ["algorithm=ccvr", "selection.participants=5", *job])


def test_every_client_counts_the_same() -> None:
    assert Ccvr().weight(np.array([1, 1000, 5])).tolist() == [1, 1, 1]
    assert not Ccvr().weighs_work
