"""SCAFFOLD against algorithm 1 of arXiv 1910.06378 with option II, in plain Python, on quadratics of three numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mpifl.algorithms.algorithm import ClientContext
from mpifl.algorithms.scaffold import Scaffold
from mpifl.errors import InputError
from mpifl.job import parse_job

LR = 0.1
START = [1.0, -1.0, 0.5]
CURVATURE = [[1.0, 2.0, 0.5], [3.0, 0.2, 1.0], [0.4, 1.0, 2.0], [1.0, 1.0, 1.0]]
MINIMUM = [[2.0, 0.0, -1.0], [-3.0, 1.0, 4.0], [0.0, -2.0, 1.0], [5.0, 5.0, 5.0]]
STEPS = [2, 5, 1, 7]
"""Client i descends the sum of CURVATURE[i] / 2 (w - MINIMUM[i])^2 from its own number of steps."""


def paper(
    rounds: list[list[int]], clients: int, server_lr: float
) -> tuple[list[float], list[float], list[list[float]]]:
    """x, c and all c_i after the rounds, each of which lists who takes part."""
    n = len(START)
    x, c, c_i = list(START), [0.0] * n, [[0.0] * n for _ in range(clients)]
    for chosen in rounds:
        delta_x, delta_c = [0.0] * n, [0.0] * n
        for i in chosen:
            y = list(x)
            for _ in range(STEPS[i]):
                for j in range(n):
                    gradient = CURVATURE[i][j] * (y[j] - MINIMUM[i][j])
                    y[j] -= LR * (gradient - c_i[i][j] + c[j])
            for j in range(n):
                c_plus = c_i[i][j] - c[j] + (x[j] - y[j]) / (STEPS[i] * LR)  # option II
                delta_x[j] += (y[j] - x[j]) / len(chosen)
                delta_c[j] += (c_plus - c_i[i][j]) / len(chosen)
                c_i[i][j] = c_plus
        for j in range(n):
            x[j] += server_lr * delta_x[j]
            c[j] += len(chosen) / clients * delta_c[j]
    return x, c, c_i


def ours(
    rounds: list[list[int]], clients: int, server_lr: float
) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """The same through the class, as executor and aggregator call it."""
    algorithm = Scaffold(server_lr=server_lr)
    state = algorithm.start(np.array(START, np.float32))
    kept: list[torch.Tensor | None] = [None] * clients
    for chosen in rounds:
        weight = algorithm.weight(np.array([10 * (i + 1) for i in chosen]))
        mean = {name: np.zeros(3) for name in algorithm.summed}
        for i, share in zip(chosen, weight / weight.sum(), strict=True):
            context = ClientContext(
                {name: torch.from_numpy(state[name]) for name in algorithm.sent},
                kept[i],
                STEPS[i],
                LR,
            )
            y = context.sent["model"].clone()
            for _ in range(STEPS[i]):
                gradient = torch.tensor(CURVATURE[i]) * (y - torch.tensor(MINIMUM[i]))
                algorithm.adjust(gradient, y, context)
                y -= LR * gradient
            contribution, kept[i] = algorithm.contribute(y - context.sent["model"], context)
            for name in mean:
                mean[name] += share * contribution[name].double().numpy()
        state = algorithm.step(state, mean, len(chosen), clients)
    return state["model"], state["control"], kept


@pytest.mark.parametrize(
    ("rounds", "clients", "server_lr"),
    [
        ([[0, 1]], 2, 1.0),
        ([[0, 1]] * 6, 2, 1.0),
        ([[0, 1]] * 6, 2, 0.5),
        ([[0], [1], [0, 1], [1]], 2, 1.0),
        ([[0, 2], [3], [1, 2, 3], [0, 1], [2]], 4, 1.0),
    ],
    ids=["one round", "six rounds", "server_lr", "one of two", "some of four"],
)
def test_the_papers_algorithm(rounds: list[list[int]], clients: int, server_lr: float) -> None:
    x, c, c_i = paper(rounds, clients, server_lr)
    model, control, kept = ours(rounds, clients, server_lr)
    np.testing.assert_allclose(model, x, atol=2e-5)
    np.testing.assert_allclose(control, c, atol=2e-5)
    for i in range(clients):
        np.testing.assert_allclose(
            np.zeros(3) if kept[i] is None else kept[i].numpy(), c_i[i], atol=5e-5
        )


def test_the_servers_control_is_the_mean_of_all_clients_controls() -> None:
    # Begun at 0, c = sum of c_i / N after every round, whoever took part: S/N of the participants' mean change.
    _, control, kept = ours([[0, 2], [3], [1, 2], [2], [0, 3]], 4, 1.0)
    np.testing.assert_allclose(control, torch.stack(kept).mean(0).numpy(), atol=2e-5)


def test_a_first_round_by_hand() -> None:
    # No control yet: 2 steps of SGD moved w by -0.6, so the mean gradient was 0.6 / (2 * 0.1) = 3, and that is c_i+.
    context = ClientContext(
        {"model": torch.zeros(1), "control": torch.zeros(1)}, None, steps=2, lr=0.1
    )
    sent, kept = Scaffold().contribute(torch.tensor([-0.6]), context)
    assert sent["update"].item() == pytest.approx(-0.6)
    assert sent["control"].item() == pytest.approx(3.0)
    assert kept.item() == pytest.approx(3.0)
    # One of 4 clients took part: c = 0 + 1/4 * 3.
    mean = {"update": np.array([-0.6]), "control": np.array([3.0])}
    state = Scaffold().step(
        Scaffold().start(np.ones(1, np.float32)), mean, participants=1, clients=4
    )
    assert state["control"].tolist() == pytest.approx([0.75])


def test_a_later_round_by_hand() -> None:
    # c = 2, c_i = 5: c_i+ = 5 - 2 + 0.6 / (2 * 0.1) = 6; the gradient is moved by c - c_i = -3.
    context = ClientContext(
        {"model": torch.zeros(1), "control": torch.tensor([2.0])},
        torch.tensor([5.0]),
        steps=2,
        lr=0.1,
    )
    sent, kept = Scaffold().contribute(torch.tensor([-0.6]), context)
    assert kept.item() == pytest.approx(6.0)
    assert sent["control"].item() == pytest.approx(1.0)
    gradient = torch.tensor([10.0])
    Scaffold().adjust(gradient, torch.zeros(1), context)
    assert gradient.item() == 7.0


def test_clients_stop_drifting() -> None:
    # With several steps a round FedAvg settles away from the minimum of the mean loss; SCAFFOLD gets there.
    a, b = np.array(CURVATURE[:2]), np.array(MINIMUM[:2])
    best = (a * b).sum(0) / a.sum(0)
    model, control, _ = ours([[0, 1]] * 300, 2, 1.0)
    np.testing.assert_allclose(model, best, atol=1e-3)
    np.testing.assert_allclose(control, 0, atol=1e-3)
    moved = 1 - (1 - LR * a) ** np.array(STEPS[:2])[:, None]
    drifted = (moved * b).sum(0) / moved.sum(0)  # where the two local moves cancel
    assert np.abs(drifted - best).max() > 0.1


def test_every_participant_counts_the_same() -> None:
    assert Scaffold().weight(np.array([1, 1000, 5])).tolist() == [1, 1, 1]


def test_buffers_have_no_gradient() -> None:
    sent = {"model": torch.zeros(3), "control": torch.tensor([1.0, 2.0, 3.0])}
    gradient = torch.zeros(2)
    Scaffold().adjust(
        gradient,
        torch.zeros(2),
        ClientContext(sent, torch.tensor([0.5, 0.5, 9.0]), steps=1, lr=0.1),
    )
    assert gradient.tolist() == [0.5, 1.5]


def job(**training: float) -> Any:
    sections = {
        "model": "logreg",
        "selection": {"name": "uniform", "participants": 2},
        "algorithm": "scaffold",
    }
    return parse_job({"rounds": 1, **sections, "training": training})


@pytest.mark.parametrize("key", ["momentum", "weight_decay"])
def test_refuses_what_is_not_plain_sgd(key: str) -> None:
    with pytest.raises(InputError, match=rf"training\.{key}: 0\.5 .*scaffold"):
        Scaffold().check(job(**{key: 0.5}))


def test_takes_plain_sgd() -> None:
    Scaffold().check(job())
    Scaffold().check(job(lr=0.3, local_steps=4))
