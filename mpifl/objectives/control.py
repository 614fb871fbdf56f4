"""Networks that act in environments: what they learn from, and how they are scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from mpifl.clock.cost import TRAINING_PER_INFERENCE
from mpifl.datasets.dataset import DataShape
from mpifl.environments import REGISTRY
from mpifl.environments.environment import Environment
from mpifl.errors import InputError, counted
from mpifl.objectives.objective import Objective, Scores


@dataclass(frozen=True)
class Steps:
    """Steps in environments, by player: (players, steps, ...).

    Attributes:
        states: In which they were, (players, steps, numbers) float32.
        actions: What they did, int64.
        rewards: What they got for it, float64.
        ended: Whether an episode ended with it, bool.
        after: In which states that put them, (players, steps, numbers) float32.
    """

    states: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    ended: torch.Tensor
    after: torch.Tensor


class Player(nn.Module):
    """A network that acts in environments; players draw from torch's generator.

    A subclass maps parameters of environments (players, parameters) to what its objective learns
    from, by ``played``.
    """

    def __init__(self, network: nn.Module, environment: Environment, steps: int) -> None:
        super().__init__()
        self.network = network
        self.environment = environment
        self.steps = steps

    @torch.no_grad()
    def played(
        self,
        x: torch.Tensor,
        at_random: float | None = None,
        going_on: torch.Tensor | None = None,
    ) -> Steps:
        """Return ``steps`` steps of each player; where an episode ends, the next one begins.

        An action is drawn with the probabilities of the network's outputs. With ``at_random``, a
        share from 0 to 1, so many of them are any action, and others that of the largest output.
        Players begin with a new episode, or in the state (players, numbers) of ``going_on``, NaN
        for those who do not go on.
        """
        environment = self.environment
        parameters = x.double()
        chances = torch.rand(len(x), self.steps, 3 + environment.numbers, device=x.device).double()
        state = environment.start(chances[:, 0, 3:])
        if going_on is not None:
            state = torch.where(going_on.isnan(), state, going_on.double())
        made = []
        for number in range(self.steps):
            outputs = self.network(state.float())
            action = _drawn(outputs, chances[:, number, 0])
            if at_random is not None:
                anything = (chances[:, number, 1] * environment.actions).long()
                explores = chances[:, number, 2] < at_random
                action = torch.where(explores, anything, outputs.argmax(-1))
            after, reward, ended = environment.step(state, action, parameters)
            made.append((state.float(), action, reward, ended, after.float()))
            again = environment.start(chances[:, (number + 1) % self.steps, 3:])
            state = torch.where(ended.unsqueeze(-1), again, after)
        return Steps(*(torch.stack(column, 1) for column in zip(*made, strict=True)))

    def returns(self, x: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
        """Return how many steps an episode of each player has, (players,) int64, at most its limit.

        The network acts greedily: it always does what has the largest output.
        """
        parameters = x.double()
        random = torch.rand(len(x), self.environment.numbers, device=x.device)
        state = self.environment.start(random.double())
        going = limits > 0
        steps = torch.zeros_like(limits)
        while going.any():
            action = self.network(state.float()).argmax(-1)
            state, _, ended = self.environment.step(state, action, parameters)
            steps += going
            going &= ~ended & (steps < limits)
        return steps


class Control(Objective):
    """The environments of clients, and the mean return of episodes in them.

    A sample is an environment. The clock charges a pass for each step that is acted, and a training
    sample for each that is learned from.
    """

    tasks = ("control",)
    measures = MappingProxyType(
        {"mean_return": "mean number of steps of an episode; NaN when not tested"}
    )

    environment: Literal["cartpole"] = Field("cartpole", description="what is acted in")
    steps: int = Field(200, ge=1, description="steps that a training sample is acted in")
    discount: float = Field(0.99, gt=0, le=1, description="what a reward a step later counts")

    @property
    def world(self) -> Environment:
        """The environment."""
        return REGISTRY[self.environment]

    @property
    def passes(self) -> float:
        """Those of acting, and of the training of all steps but one."""
        return self.steps + (self.steps - 1) * TRAINING_PER_INFERENCE

    @property
    def counted(self) -> int:
        """The count: steps of all episodes."""
        return 1

    def check(self, data: DataShape) -> None:
        needed = len(self.world.parameters)
        if data.sample != (needed,) or data.outputs != self.world.actions:
            raise InputError(
                f"objective.environment: {self.environment!r} is not allowed: the data has samples"
                f" of {data.sample} and {counted(data.outputs, 'action')}; allowed: samples of"
                f" ({needed},), {', '.join(self.world.parameters)}, and {self.world.actions}"
            )

    def model_shape(self, data: DataShape) -> DataShape:
        return replace(data, task="classification", sample=(self.world.numbers,))

    def test(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Scores:
        assert isinstance(module, Player)
        limits = y[:, 0].long()
        steps = module.returns(x, limits)
        ones = torch.ones_like(steps)
        missing = 1 - steps.double() / limits
        return Scores(ones, torch.zeros_like(ones), missing, steps.sum()[None])

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        """Return mean_return and loss."""
        return {"mean_return": int(counts[0]) / scored, "loss": loss}


def _drawn(outputs: torch.Tensor, chances: torch.Tensor) -> torch.Tensor:
    """Return actions (players,) int64 drawn with the softmax of outputs (players, actions)."""
    below = outputs.double().softmax(-1).cumsum(-1)[..., :-1]
    return (chances.unsqueeze(-1) >= below).sum(-1)


def discounted(rewards: torch.Tensor, ended: torch.Tensor, discount: float) -> torch.Tensor:
    """Return the discounted sum of the rewards from each step to the end of its episode.

    All are (players, steps). Behind the last step nothing is known, and nothing is added.
    """
    total = torch.zeros_like(rewards[:, 0])
    totals = []
    for number in reversed(range(rewards.shape[1])):
        total = rewards[:, number] + discount * torch.where(ended[:, number], 0, total)
        totals.append(total)
    return torch.stack(totals[::-1], 1)
