"""FedAMP and HeurFedAMP against the paper's formulas written down plainly, and their identities."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.algorithms.fedamp import FedAmp
from mpifl.errors import InputError, TrainingError
from mpifl.models.layout import Layout
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.parted import MODELS, clients_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import Run, assert_close, assert_resumes_alike, pulled
from tests.algorithms.sides import context

ALPHA, SIGMA, LAM, OWN = 0.1, 0.6, 0.05, 0.3

Weights = Callable[[np.ndarray, list[np.ndarray]], list[float]]
"""The weights xi_ij of others' models, given the client's own."""


def by_distance(own: np.ndarray, others: list[np.ndarray]) -> list[float]:
    return [ALPHA * math.exp(-sum((own - w) ** 2) / SIGMA) / SIGMA for w in others]


def by_angle(own: np.ndarray, others: list[np.ndarray]) -> list[float]:
    near = [math.exp(SIGMA * (own @ w) / (np.linalg.norm(own) * np.linalg.norm(w))) for w in others]
    return [(1 - OWN) * share / sum(near) for share in near]


def followed(run: Run, weights: Weights) -> dict[int, torch.Tensor]:
    """Each client's own model after all rounds."""
    models: dict[int, torch.Tensor] = {}
    trained = slice(0, run.layout.trained)
    last: list[int] = []
    for number, participants in run.rounds():
        after = {}
        for client, _, steps in participants:
            start = models.get(client, run.initial).clone()
            others = [models[other][trained].double().numpy() for other in last if other != client]
            own = start[trained].double().numpy()
            shares = weights(own, others) if others else []
            mixed = (1 - sum(shares)) * own
            for share, other in zip(shares, others, strict=True):
                mixed = mixed + share * other
            start[trained] = torch.from_numpy(mixed).float()
            pull = pulled(start, LAM / ALPHA)
            pull_of_trained = lambda g, w, pull=pull: torch.cat(  # noqa: E731
                [pull(g, w)[trained], g[run.layout.averages]]
            )
            after[client] = run.sgd(start, number, client, steps, change=pull_of_trained)
        models |= after
        last = sorted(after)
    return models


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("attention", "weights"), [("distance", by_distance), ("cosine", by_angle)]
)
def test_five_rounds_are_those_of_the_paper(
    tmp_path: Path, model: str, attention: str, weights: Weights
) -> None:
    keys = f"attention: {attention}, alpha: {ALPHA}, sigma: {SIGMA}, lam: {LAM}, own: {OWN}"
    run = Run(tmp_path, f"algorithm={{name: fedamp, {keys}}}", *MODELS[model])
    models = followed(run, weights)

    assert len(models) > 5
    for client, expected in models.items():
        assert_close(run.kept(client)["model"], expected)
    _, participants = list(run.rounds())[-1]
    mean = sum(share * models[client] for client, share, _ in participants)
    assert isinstance(mean, torch.Tensor)
    assert_close(run.state["model"], mean)


def test_mixtures_are_not_the_clients_own_models(tmp_path: Path) -> None:
    """Or else the test above would not see them."""
    keys = f"alpha: {ALPHA}, sigma: {SIGMA}, lam: {LAM}"
    run = Run(tmp_path, f"algorithm={{name: fedamp, {keys}}}")
    alone = followed(run, lambda own, others: [0.0] * len(others))
    away = [float((run.kept(client)["model"] - w).abs().max()) for client, w in alone.items()]
    assert max(away) > 1e-3


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "keys",
    ["alpha: 1.0e-9, sigma: 1.0e-6, lam: 0", "attention: cosine, own: 1, lam: 0"],
)
def test_without_attention_and_pull_it_is_local_training_to_the_bit(
    tmp_path: Path, model: str, keys: str
) -> None:
    amp = Run(tmp_path / "a", f"algorithm={{name: fedamp, {keys}}}", *MODELS[model])
    local = Run(tmp_path / "b", "algorithm=local", *MODELS[model])
    assert len(amp.server.state_rounds) > 5
    for client in amp.server.state_rounds:
        assert torch.equal(amp.kept(client)["model"], local.kept(client)["model"])


def test_a_client_is_tested_with_its_own_model(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm=fedamp", "rounds=2")
    trained, untrained = (personal_model(run, client) for client in clients_of(run))
    assert torch.equal(trained, run.kept(clients_of(run)[0])["model"])
    assert torch.equal(untrained, run.initial)


def test_those_of_a_round_that_nobody_completed_are_mixed_with_those_before(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, "algorithm=fedamp", "rounds=3")
    rounds = [sorted(client for client, _, _ in participants) for _, participants in run.rounds()]
    assert run.server.others["client"].tolist() == rounds[-1]
    run.server.note_kept(np.empty(0, np.int64), 4)
    assert run.server.others["client"].tolist() == rounds[-1]
    assert set(run.server.others["round"].tolist()) == {3}


def test_a_resumed_run_mixes_the_same_models(tmp_path: Path) -> None:
    assert_resumes_alike(tmp_path, "algorithm=fedamp")


def test_a_participant_receives_a_model_and_sends_one(tmp_path: Path) -> None:
    amp, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("fedamp", "fedavg")
    )
    for name in ("bytes_down", "bytes_up", "compute_seconds"):
        assert (amp[name] == fedavg[name]).all()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (
            ["algorithm.alpha=100.1"],
            "algorithm.alpha: 100.1 is not allowed: with so many participants the weight of a"
            " client's own model could be negative; allowed: up to algorithm.sigma /"
            " selection.participants = 100",
        ),
        (["algorithm.sigma=0"], "algorithm.sigma: 0 is not allowed"),
        (["algorithm.own=1.5"], "algorithm.own: 1.5 is not allowed"),
        (["algorithm.attention=angle"], "algorithm.attention: 'angle' is not allowed"),
        (
            ["clock={mode: buffered, concurrency: 20}"],
            "clock.mode: 'buffered' is not allowed with algorithm.name fedamp",
        ),
        (
            ["aggregation=median"],
            "aggregation.name: 'median' is not allowed with algorithm.name fedamp",
        ),
        (
            ["exchange.up=[{name: int8}]"],
            "exchange.up: not allowed with algorithm.name fedamp, whose server sends clients'",
        ),
        (
            ["attacks=[{name: sign_flip, share: 0.2}]"],
            "attacks.0.name: 'sign_flip' is not allowed with algorithm.name fedamp, whose server",
        ),
        (
            ["privacy={name: gaussian, epsilon: 8}"],
            "privacy.name: 'gaussian' is not allowed with algorithm.name fedamp, whose server",
        ),
        (
            ["secure_aggregation=secagg"],
            "algorithm.name: 'fedamp' is not allowed with secure_aggregation.name secagg",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(job: list[str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        check_job("quickstart", ["algorithm=fedamp", *job])
    assert "\n" not in str(refused.value)


def test_poisoned_samples_are_allowed() -> None:
    check_job("quickstart", ["algorithm=fedamp", "attacks=[{name: label_flip, share: 0.2}]"])


def test_more_others_than_a_round_was_to_have_end_the_run_in_one_line() -> None:
    """As when clients are asked one by one (poisson)."""
    algorithm = FedAmp(alpha=20, sigma=100, lam=0)
    model = torch.randn(30)
    kept = {client: {"model": model} for client in range(6)}
    c = context({}, {"model": model}, Layout(30), others=kept)
    said = "algorithm.alpha: 20 is too large: the weights of 6 others add up to 1.2; allowed: up to"
    with pytest.raises(TrainingError, match=re.escape(said)):
        next(algorithm.client(c))
