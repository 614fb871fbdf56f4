"""FedPAC against the paper's algorithm written down plainly, and its identity."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.parted import MODELS, body_of, clients_of, head_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import (
    EQUAL,
    Run,
    assert_close,
    assert_resumes_alike,
    prototype_gradient,
    representation,
)
from tests.small_data import small_data

LAM, HEAD_STEPS, HEAD_LR = 2.0, 7, 0.05
CLASSES, FEATURES = 10, 16
PAC = f"algorithm={{name: fedpac, lam: {LAM}, head_steps: {HEAD_STEPS}, head_lr: {HEAD_LR}}}"
DATA = "data.partition={name: dirichlet, alpha: 0.05, clients: 12}"


def by_class(run: Run, weights: torch.Tensor, client: int) -> dict[int, torch.Tensor]:
    """The features of a client's samples, by their class."""
    x, y = run.samples(client)
    features = representation(weights, x)
    return {label: features[y == label] for label in sorted(set(y.tolist()))}


def statistics(rows: dict[int, torch.Tensor]) -> tuple[np.ndarray, float]:
    """The paper's h (CLASSES, FEATURES) and V, as in the authors' code."""
    count = sum(len(features) for features in rows.values())
    h = np.zeros((CLASSES, FEATURES))
    v = 0.0
    for label, features in rows.items():
        share = len(features) / count
        mean = features.double().mean(0).numpy()
        h[label] = share * mean
        v += share * float((features.double() ** 2).sum()) / len(features)
        v -= share**2 * float(mean @ mean)
    return h, v / count


def least(form: np.ndarray) -> np.ndarray:
    """The weights that minimise x' P x: the best of those of all supports."""
    best, found = np.inf, np.zeros(len(form))
    for size in range(1, len(form) + 1):
        for support in combinations(range(len(form)), size):
            inner = form[np.ix_(support, support)] + 1  # as good where weights add up to 1
            solved = np.linalg.solve(inner, np.ones(size))
            x = np.zeros(len(form))
            x[list(support)] = solved / solved.sum()
            if (x >= 0).all() and x @ form @ x < best:
                best, found = x @ form @ x, x
    return found


def body_step(
    run: Run,
    weights: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    centroids: dict[int, torch.Tensor],
) -> torch.Tensor:
    """The weights after a step of the layers below the head on the paper's loss."""
    gradient = prototype_gradient(run, weights, x, y, centroids, LAM)
    return weights - run.job.training.lr * gradient * body_of(run)


class Paper:
    """The paper's algorithm, with the participants of a run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = run.initial
        self.heads: dict[int, torch.Tensor] = {}
        self.h: dict[int, np.ndarray] = {}
        self.v: dict[int, float] = {}
        self.centroids: dict[int, torch.Tensor] = {}
        self.last: list[int] = []
        self.shares: list[np.ndarray] = []
        for number, participants in run.rounds():
            self.round(number, participants)

    def mixed(self, client: int) -> torch.Tensor:
        """The newest layers below with the head that a client is sent."""
        head = head_of(self.run)
        if client not in self.heads:
            return torch.where(head, self.run.initial, self.model)
        among = sorted({*self.last, client})
        away = [self.h[client] - self.h[j] for j in among]
        form = np.array([[float((a * b).sum()) for b in away] for a in away])
        x = least(form + np.diag([self.v[j] for j in among]))
        self.shares.append(x)
        total = torch.zeros(int(head.sum()), dtype=torch.float64)
        for share, j in zip(x.tolist(), among, strict=True):
            total += share * self.heads[j].double()
        model = self.model.clone()
        model[head] = total.float()
        return model

    def round(self, number: int, participants: list[tuple[int, float, int]]) -> None:
        run, head = self.run, head_of(self.run)
        begun = {client: self.mixed(client) for client, _, _ in participants}
        body = torch.zeros_like(self.model)
        samples: dict[int, list[torch.Tensor]] = {}
        for client, share, steps in participants:
            w = run.sgd(
                begun[client], number, client, HEAD_STEPS, 0, lambda g, _: g * head, lr=HEAD_LR
            )
            for x, y in run.batches(number, client, steps, request=1):
                w = body_step(run, w, x, y, self.centroids)
            self.heads[client] = w[head]
            self.h[client], self.v[client] = statistics(by_class(run, begun[client], client))
            body += share * w
            for label, features in by_class(run, w, client).items():
                samples.setdefault(label, []).append(features)
        self.model = torch.where(head, self.model, body)
        self.centroids |= {label: torch.cat(rows).mean(0) for label, rows in samples.items()}
        self.last = sorted(client for client, _, _ in participants)


def test_five_rounds_are_those_of_the_paper(tmp_path: Path) -> None:
    run = Run(tmp_path, PAC, DATA)
    paper = Paper(run)
    head = head_of(run)

    assert any((x > 0.05).sum() > 1 for x in paper.shares)  # or no head would be a mixture
    assert_close(run.state["model"], paper.model, atol=2e-6)
    for label, expected in paper.centroids.items():
        assert_close(run.state["prototypes"][label], expected, atol=5e-6)
    assert len(paper.heads) > 5
    for client, expected in paper.heads.items():
        kept = run.kept(client)
        assert_close(kept["own"], expected, atol=2e-6)
        assert_close(kept["h"], torch.from_numpy(paper.h[client]), atol=5e-6)
        assert float(kept["v"]) == pytest.approx(paper.v[client], rel=1e-4, abs=1e-7)
    assert run.state["model"][head].equal(run.initial[head])


def test_a_client_is_tested_with_the_head_that_is_mixed_for_it(tmp_path: Path) -> None:
    run = Run(tmp_path, PAC, DATA, "rounds=3")
    paper = Paper(run)
    took_part, never = clients_of(run)
    for client in (took_part, paper.last[0], never):
        found = personal_model(run, client)
        assert_close(found, paper.mixed(client), atol=2e-6)
    own = run.kept(paper.last[0])["own"]
    assert not torch.equal(personal_model(run, paper.last[0])[head_of(run)], own)


@pytest.mark.parametrize("model", MODELS)
def test_a_single_client_without_centroids_is_fedrep_to_the_bit(tmp_path: Path, model: str) -> None:
    job = (
        *MODELS[model],
        "data.partition={name: iid, clients: 1}",
        "selection.participants=1",
        "data.split={by: samples, test: 0.9}",
    )
    pac, rep = (
        Run(tmp_path / name, f"algorithm={{name: {name}}}", *job)
        for name in ("fedpac, lam: 0", "fedrep")
    )
    assert torch.equal(pac.state["model"], rep.state["model"])
    assert torch.equal(pac.kept(0)["own"], rep.kept(0)["own"])


def test_a_resumed_run_mixes_the_same_heads(tmp_path: Path) -> None:
    assert_resumes_alike(tmp_path, "algorithm=fedpac")


def test_the_clock_charges_the_steps_of_the_head_and_two_passes_for_features(
    tmp_path: Path,
) -> None:
    pac, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1", *EQUAL)
        .results[0]
        .plan.timeline.participants
        for name in ("{name: fedpac, head_steps: 6}", "fedavg")
    )
    # 96 samples in batches of 16: six steps are a pass, and one without gradients a third of it.
    np.testing.assert_allclose(pac["compute_seconds"], (2 + 2 / 3) * fedavg["compute_seconds"])
    table = 4 * (CLASSES * FEATURES + CLASSES)  # centroids, and the classes that have one
    assert (pac["bytes_down"] == fedavg["bytes_down"] + table).all()
    assert (pac["bytes_up"] == fedavg["bytes_up"] + table + 4 * (CLASSES * FEATURES + 1)).all()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (["algorithm.lam=-1"], "algorithm.lam: -1 is not allowed"),
        (["algorithm.head_lr=0"], "algorithm.head_lr: 0 is not allowed"),
        (
            ["algorithm.head=[0.weight]"],
            "algorithm.head: ['0.weight'] is not allowed with algorithm.name fedpac, whose head",
        ),
        (
            ["clock={mode: buffered, concurrency: 20}"],
            "clock.mode: 'buffered' is not allowed with algorithm.name fedpac",
        ),
        (
            ["exchange.down=[{name: float16}]"],
            "exchange.down: not allowed with algorithm.name fedpac, whose server sends clients'",
        ),
        (
            [f"data={{name: {small_data('lives')}, partition: natural}}", "model=mlp"],
            "algorithm.name: 'fedpac' is not allowed: it needs data with classes",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(job: list[str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        check_job("quickstart", ["algorithm=fedpac", "selection.participants=4", *job])
    assert "\n" not in str(refused.value)
