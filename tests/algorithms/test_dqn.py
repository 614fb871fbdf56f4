"""DQN remembers the newest steps, and learns from them with the target of the model that was received."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mpifl.algorithms.dqn import Dqn, _Remembered
from mpifl.datasets.embedded import CARTPOLE_V1
from mpifl.errors import InputError
from mpifl.models.flat import flatten
from mpifl.models.layout import Layout, layout_of
from mpifl.objectives.make import objective_of
from mpifl.rounds.experiment.build_experiment import check_job


def test_the_memory_has_the_newest_steps_and_goes_on_where_it_stopped() -> None:
    c: Any = SimpleNamespace(received={"model": torch.zeros(1)})  # of its context no more
    remembered = _Remembered(c, torch.zeros(5, 1), 0)
    written = []
    for begin, end in ((1, 4), (4, 6), (6, 9), (9, 21)):
        remembered._write(torch.arange(float(begin), end).unsqueeze(1))
        written.append((remembered.written, sorted(remembered.memory[:, 0].tolist())))
    assert written == [
        (3, [0, 0, 1, 2, 3]),
        (5, [1, 2, 3, 4, 5]),
        (8, [4, 5, 6, 7, 8]),
        (8, [16, 17, 18, 19, 20]),
    ]


def test_the_loss_is_the_huber_loss_to_the_reward_and_the_target_networks_value() -> None:
    torch.manual_seed(0)
    objective = objective_of("q_learning", 2, steps=12, discount=0.9, explore=1.0)
    model = flatten(objective.wrapped(nn.Linear(4, 2)))
    module: Any = model.module
    target = torch.randn(10)
    c: Any = SimpleNamespace(
        received={"model": target}, layout=layout_of(model), loss=objective.loss
    )
    remembered = _Remembered(c, torch.zeros(20, 11), 0)
    x = torch.tensor(CARTPOLE_V1).expand(1, 5)
    torch.manual_seed(1)
    found = remembered(model.module, x, torch.ones(1, 1))
    found.backward()

    torch.manual_seed(1)
    made = module.played(x, 1.0)
    picks = torch.randint(12, (12,))
    assert set(made.actions.flatten().tolist()) == {0, 1}
    weight, bias = target[:8].view(2, 4), target[8:]
    losses = []
    for pick in picks.tolist():
        after = made.after[0, pick] @ weight.T + bias
        ended = bool(made.ended[0, pick])
        value = float(made.rewards[0, pick]) + 0.9 * float(after.max()) * (not ended)
        worth = module.network(made.states[0, pick]).detach()[made.actions[0, pick]]
        away = abs(value - float(worth))
        losses.append(away**2 / 2 if away < 1 else away - 0.5)
    assert float(found.detach()) == pytest.approx(sum(losses) / 12, rel=1e-5)
    assert module.network.weight.grad.any()

    own = objective.loss(model.module(x), torch.ones(1, 1))
    assert own.requires_grad
    assert 3 + objective.passes == 12 * (1 + 3 + 1)


def test_episodes_go_on_where_the_steps_before_ended() -> None:
    torch.manual_seed(0)
    objective = objective_of("q_learning", 2, steps=7, explore=1.0)
    model = flatten(objective.wrapped(nn.Linear(4, 2)))
    module: Any = model.module
    c: Any = SimpleNamespace(
        received={"model": torch.zeros(10)}, layout=layout_of(model), loss=objective.loss
    )
    remembered = _Remembered(c, torch.zeros(60, 11), 0)
    turns: list[Any] = []
    played = module.played

    def noted(*arguments: Any) -> Any:
        turns.append(played(*arguments))
        return turns[-1]

    module.played = noted
    x = torch.tensor(CARTPOLE_V1).expand(3, 5)
    for players in (3, 3, 2, 3, 3):  # the memory is full in the third turn, and overwritten then
        remembered(module, x[:players], torch.ones(players, 1))

    before = [
        (turn.after[p, -1], turn.ended[p, -1]) for turn in turns for p in range(len(turn.ended))
    ]
    gone_on = 0
    for number, turn in enumerate(turns[1:], 1):
        players = len(turn.states)
        last = sum(len(one.states) for one in turns[:number])
        for player in range(players):
            after, ended = before[last - 1 - player]
            assert torch.equal(turn.states[player, 0], after) != bool(ended)
            gone_on += not ended
            if ended:
                assert turn.states[player, 0].abs().max() <= 0.05
    assert gone_on > 5
    assert turns[0].states[:, 0].abs().max() <= 0.05
    assert remembered._last_states(10, 7).isnan().all(1).tolist()[9:] == [True]  # it has 60 rows


def test_it_is_for_q_learning_alone() -> None:
    with pytest.raises(
        InputError, match=r"^algorithm.name: 'dqn' is not allowed with objective.name"
    ):
        check_job("quickstart", ["algorithm=dqn"])
    assert Dqn().cost(Layout(1)).plain
