"""DQN: clients that remember what they did, and learn from it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from mpifl.algorithms.arrays import SCALAR, Array
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.vectors import output_with, tensors_in
from mpifl.environments import REGISTRY
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mpifl.objectives.control import Steps


class Dqn(FedAvg):
    """Mnih et al., Human-level control through deep reinforcement learning (2015), averaged.

    For the objective `q_learning`. In each local step a client acts as the objective says, stores
    its steps in a memory of the newest `memory` ones, and learns from as many, drawn evenly from
    the memory. Episodes go on from one local step to the next, and from one participation to the
    next, so that `steps` may be few. What follows is valued by the target network: the model that
    it received, which is a new one in each round. The memory is kept until the client takes part
    again. Server: FedAvg.
    """

    name: str = "dqn"
    memory: int = Field(2000, ge=1, le=1 << 20, description="steps that a client remembers")

    def check(self, job: Job) -> None:
        if job.objective.name != "q_learning":
            raise InputError(
                f"algorithm.name: 'dqn' is not allowed with objective.name {job.objective.name};"
                " allowed: q_learning"
            )

    def kept_arrays(self, layout: Layout) -> Mapping[str, Array]:
        (numbers,) = {environment.numbers for environment in REGISTRY.values()}
        return {"memory": Array((self.memory, 2 * numbers + 3)), "written": SCALAR}

    def client(self, c: ClientContext) -> Program:
        target = c.received["model"]
        shape = self.kept_arrays(c.layout)["memory"].sized(c.layout.size)
        remembered = c.kept.get("memory", target.new_zeros(shape)).clone()
        written = int(c.kept.get("written", target.new_zeros(())))
        loss = _Remembered(c, remembered, written)
        trained: Trained = yield Train(target, loss=loss)
        keep = {"memory": loss.memory, "written": target.new_tensor(float(loss.written))}
        return Upload(update=trained.update, keep=keep)


class _Remembered:
    """The loss of steps drawn from a memory, to which each call adds what is done now.

    A row of ``memory`` is a state, the action, the reward, whether the episode ended, and the state
    that followed. ``written`` is how many rows were ever written, or, once the memory is full, its
    length plus the place of the oldest row.
    """

    def __init__(self, c: ClientContext, memory: torch.Tensor, written: int) -> None:
        self.c = c
        self.target = c.received["model"].clone()  # buffers change in it
        self.memory = memory
        self.written = written

    def __call__(self, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch

        from mpifl.objectives.q_learning import Valuer

        assert isinstance(module, Valuer)
        going_on = self._last_states(len(x), module.steps).to(x.device)
        made = module.played(x, module.explore, going_on)
        self._write(_rows(made))
        there = min(self.written, len(self.memory))
        picks = torch.randint(there, (made.actions.numel(),), device=x.device)
        steps = _steps(made, self.memory[picks].to(x.device))
        tensors = {
            name.removeprefix("network."): tensor
            for name, tensor in tensors_in(module, self.c.layout, self.target).items()
        }
        with torch.no_grad():
            following = output_with(module.network, tensors, steps.after)
        return self.c.loss(module.compared(steps, following).unsqueeze(0), y[:1])

    def _last_states(self, players: int, steps: int) -> torch.Tensor:
        """Return where the last ``players`` have come to that made ``steps`` steps each.

        (players, numbers), NaN where an episode has ended or the memory does not reach. The newest
        rows are those of whole turns of ``steps`` steps, one player's behind the other's.
        """
        import torch

        size = len(self.memory)
        back = 1 + steps * torch.arange(players, device=self.memory.device)
        rows = self.memory[(self.written - back) % size]
        _, _, _, ended, after = _columns(rows)
        is_there = (back <= min(self.written, size)) & ~ended
        return after.masked_fill(~is_there.unsqueeze(-1), torch.nan)

    def _write(self, rows: torch.Tensor) -> None:
        """Add rows (n, ...), of which the last ones are kept, in the place of the oldest."""
        import torch

        size = len(self.memory)
        rows = rows[-size:]
        places = (self.written + torch.arange(len(rows), device=rows.device)) % size
        self.memory[places] = rows
        after = self.written + len(rows)
        self.written = after if after < size else size + after % size


def _rows(steps: Steps) -> torch.Tensor:
    """Return steps (players, steps) as rows of a memory, (players * steps, ...) float32."""
    import torch

    numbers = [steps.actions, steps.rewards, steps.ended]
    columns = [steps.states, *(one.float().unsqueeze(-1) for one in numbers), steps.after]
    return torch.cat(columns, -1).flatten(0, 1)


def _columns(
    rows: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return states, actions, rewards, whether episodes ended, and states that followed."""
    numbers = (rows.shape[1] - 3) // 2
    action, reward, ended = rows[:, numbers : numbers + 3].unbind(-1)
    return rows[:, :numbers], action.long(), reward, ended > 0, rows[:, numbers + 3 :]


def _steps(like: Steps, rows: torch.Tensor) -> Steps:
    """Return rows of a memory as steps (rows,), with the types of others."""
    states, actions, rewards, ended, after = _columns(rows)
    return type(like)(states, actions, rewards.to(like.rewards.dtype), ended, after)
