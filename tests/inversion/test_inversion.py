"""Inversion attacks on models small enough to know the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.errors import InputError
from mpifl.exchange.sign import Sign
from mpifl.inversion import REGISTRY
from mpifl.inversion.inversion import Found, Seen
from mpifl.inversion.labels import label_counts, present_labels, single_label
from mpifl.inversion.named import inversion_of
from mpifl.inversion.observed import Observed
from mpifl.inversion.scores import score
from mpifl.rounds.clients.recording import Facts
from tests.known import known

CLASSES = 5
WIDTH = 6


def seen_of(x: torch.Tensor, y: torch.Tensor, steps: int = 1, batch: int = 99) -> Seen:
    """What local SGD on samples gives away, by torch.optim."""
    torch.manual_seed(5)
    module = nn.Sequential(nn.Linear(WIDTH, 8), nn.Sigmoid(), nn.Linear(8, CLASSES)).double()
    before = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for step in range(steps):
        begin = step * batch % len(x) if batch < len(x) else 0
        optimizer.zero_grad()
        cross_entropy(module(x[begin : begin + batch]), y[begin : begin + batch]).backward()
        optimizer.step()
    after = dict(module.named_parameters())
    gradient = {k: (before[k] - after[k].detach()) / (0.5 * steps) for k in before}
    module.load_state_dict(before)
    return Seen(
        module=module.requires_grad_(False), weights={k: nn.Parameter(v) for k, v in before.items()},
        gradient=gradient, samples=len(x), sample=(WIDTH,), classes=CLASSES, low=-2.0, high=2.0,
        steps=steps, batch_size=batch, lr=0.5, label_smoothing=0.0, head=("2.weight", "2.bias"),
    )  # fmt: skip


def samples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(7)
    x = np.clip(random.normal(size=(count, WIDTH)), -2, 2)
    return torch.from_numpy(x), torch.from_numpy(random.integers(CLASSES, size=count))


def observed(count: int, **how: int) -> Observed:
    x, y = samples(count)
    facts = Facts(1, 3, count, 1, 0.5)
    return Observed(facts, 1, seen_of(x, y, **how), x.numpy(), y.numpy())


@pytest.mark.parametrize("attack", ["dlg", "idlg"])
def test_a_single_sample_and_its_label_are_found_to_the_rounding(attack: str) -> None:
    truth = observed(1)
    found = inversion_of(f"{{name: {attack}, iterations: 120, restarts: 2}}").run(
        truth.seen, truth.start
    )
    scores = score(found, truth)
    assert scores.labels == 1.0
    assert scores.mse.max() < 1e-6
    assert scores.psnr.min() > 60


def test_the_direction_of_a_gradient_is_enough() -> None:
    attack = inversion_of("{name: invert_gradient, iterations: 300, total_variation: 0}")
    truth = observed(1)
    found = attack.run(truth.seen, truth.start)
    scores = score(found, truth)
    assert scores.labels == 1.0
    assert scores.mse.max() < 1e-3
    assert np.abs(known(found.x)).max() <= 2


@pytest.mark.parametrize("how", [{"steps": 4, "batch": 1}, {"steps": 3, "batch": 2}, {"steps": 2}])
def test_several_local_steps_are_those_of_torch(how: dict[str, int]) -> None:
    truth = observed(4, **how)
    again = truth.seen.simulated(torch.from_numpy(truth.x), torch.from_numpy(truth.y))
    for own, theirs in zip(again, truth.seen.gradient.values(), strict=True):
        assert own.detach().numpy() == pytest.approx(theirs.numpy(), abs=1e-12)


def spoilt(seen: Seen, how: str) -> Seen:
    random = torch.Generator().manual_seed(1)
    whole = torch.cat([tensor.reshape(-1) for tensor in seen.gradient.values()])
    if how == "noise":
        drawn = torch.randn(whole.shape, generator=random, dtype=whole.dtype)
        whole = whole + drawn * whole.norm() / len(whole) ** 0.5  # as long as the gradient
    else:
        context: Any = type("C", (), {"shape": type("S", (), {"count": len(whole)})})
        stage = Sign()
        coded = stage.encode(whole.float().numpy(), context)
        whole = torch.from_numpy(stage.decode(coded, context)).double()
    pieces = whole.split([tensor.numel() for tensor in seen.gradient.values()])
    named = zip(seen.gradient.items(), pieces, strict=True)
    gradient = {name: piece.view_as(tensor) for (name, tensor), piece in named}
    return Seen(**{**vars(seen), "gradient": gradient})


@pytest.mark.parametrize("how", ["noise", "compression"])
def test_with_noise_or_compression_the_sample_is_not_found(how: str) -> None:
    truth = observed(1)
    attack = inversion_of("{name: dlg, iterations: 150, restarts: 2}")
    found = attack.run(spoilt(truth.seen, how), truth.start)
    assert score(found, truth).mse.min() > 0.05


# Labels


def test_labels_of_a_batch_are_counted() -> None:
    for count in (2, 4, 8):
        truth = observed(count)
        counts = label_counts(truth.seen, truth.start(0))
        assert counts.tolist() == np.bincount(truth.y, minlength=CLASSES).tolist()


def test_a_label_is_the_row_that_points_away_from_the_others() -> None:
    for label in range(CLASSES):
        x, _ = samples(1)
        assert single_label(seen_of(x, torch.tensor([label])).head_gradient("weight")) == label


def test_the_set_of_labels_is_found_by_linear_programs() -> None:
    """By hand: two samples of classes 1 and 3 with independent inputs."""
    p = np.array([[0.2, 0.2, 0.2, 0.2, 0.2], [0.1, 0.3, 0.1, 0.4, 0.1]])
    p[0, 1] -= 1
    p[1, 3] -= 1
    h = np.array([[1.0, 2.0, 0.5, 3.0], [2.0, 0.1, 1.0, 1.0]])
    assert present_labels(torch.from_numpy(p.T @ h), 2).tolist() == [1, 3]


def test_an_update_of_zeros_reveals_no_label() -> None:
    nothing = torch.zeros(5, 4, dtype=torch.float64)
    assert present_labels(nothing, 2).dtype == np.int64
    assert not len(present_labels(nothing, 2))


# Scores and names


def test_samples_are_paired_so_that_errors_are_least() -> None:
    truth = observed(3)
    found = Found(truth.x[[2, 0, 1]] + 0.1, truth.y[[2, 0, 1]], 0.0)
    scores = score(found, truth)
    assert scores.order.tolist() == [1, 2, 0]
    assert scores.mse == pytest.approx([0.01] * 3)
    assert scores.psnr == pytest.approx([10 * np.log10(16 / 0.01)] * 3)
    classes = Found(None, np.unique([*truth.y, (truth.y[0] + 1) % CLASSES]), float("nan"))
    assert score(classes, truth).labels <= 1.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("dgl", "--attack: 'dgl' is not known; did you mean dlg? allowed: dlg, idlg"),
        ("{name: dlg, lr: -1}", "--attack: lr: -1 is not allowed: input should be greater than 0"),
        ("{name: dlg, step: 1}", "--attack: step: no such key; allowed: name, restarts"),
        ("{name: dlg", "--attack: "),
    ],
)
def test_a_wrong_attack_is_refused_in_a_line(given: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        inversion_of(given)
    assert said in str(caught.value)


def test_what_does_not_go_with_an_update_is_refused() -> None:
    truth = observed(2)
    with pytest.raises(InputError, match="'idlg' is not allowed with an update of 2 samples"):
        inversion_of("idlg").run(truth.seen, truth.start)
    headless = Seen(**{**vars(truth.seen), "head": ()})
    with pytest.raises(InputError, match="labels cannot be read from this model"):
        inversion_of("reveal_labels").run(headless, truth.start)
    assert {inversion_of(name).name for name in REGISTRY} == set(REGISTRY)
