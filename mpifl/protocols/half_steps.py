"""The arithmetic of a local step of an actor that has a piece of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mpifl.clock.workload import Workload
from mpifl.job.schema import Training
from mpifl.models.layout import Layout
from mpifl.objectives.objective import Objective
from mpifl.protocols.pieces import Piece, Pieces
from mpifl.training.device import CPU, seed_torch
from mpifl.training.participant import minibatches
from mpifl.training.recipe import Recipe, clipped


@dataclass(frozen=True)
class Step:
    """A local step of one actor.

    Attributes:
        piece: What it has of the model.
        layout: Where the tensors of the whole model lie in its vector.
        recipe: How steps are made.
        lr: The learning rate of the step.
        number: Which step since the optimizer began, from 0 on.
        memory: The optimizer's state before, (lists, parameters); None where it has none yet.
        torch_seed: For layers that draw, such as dropout.
    """

    piece: Piece
    layout: Layout
    recipe: Recipe
    lr: float
    number: int
    memory: torch.Tensor | None
    torch_seed: int


@dataclass(frozen=True)
class Stepped:
    """What a step leaves: the ``weights`` (k,) of the piece, and the optimizer's ``memory``."""

    weights: torch.Tensor
    memory: torch.Tensor | None


def rows_of_step(count: int, recipe: Recipe, step: int, order: np.random.Generator) -> torch.Tensor:
    """Return the samples of a local step, from 0 on, as the engines take them, (batch,) int64."""
    rows, counts = minibatches(count, step + 1, recipe.batch_size, order, recipe.drop_last)
    return torch.from_numpy(rows[step, : counts[step]])


def steps_of_round(training: Training, samples: np.ndarray) -> np.ndarray:
    """Return the local steps (n,) int64 that clients with ``samples`` (n,) make in a round."""
    work = Workload(
        bytes_down=0,
        bytes_up=0,
        batch_size=training.batch_size,
        epochs=training.epochs,
        local_steps=training.local_steps,
        drop_last=training.drops_last,
    )
    return work.steps(samples)


def samples_of_step(count: int, batch_size: int, drop_last: bool, step: int) -> int:
    """Return how many samples a local step has, from 0 on."""
    width = min(batch_size, count)
    full, rest = divmod(count, width)
    steps = full if drop_last or not rest else full + 1
    is_short = bool(rest) and not drop_last and step % steps == steps - 1
    return rest if is_short else width


def smashed(module: nn.Module, step: Step, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what crosses the cut for a minibatch, and the bottom's weights.

    The latter because running statistics have moved.
    """
    output = _forward(module, step, x)
    return output.detach(), step.piece.vector(module, step.layout)


def train_bottom(module: nn.Module, step: Step, x: torch.Tensor, gradient: torch.Tensor) -> Stepped:
    """Make the bottom's step, given the gradient of the loss at the cut.

    The forward pass is made again, with the same bits: a graph cannot be kept between handlers.
    Running statistics have moved in the first one, so they stay.
    """
    buffers = step.piece.buffers(module)
    before = [buffer.clone() for buffer in buffers]
    parameters = step.piece.parameters(module)
    output = _forward(module, step, x)
    gradients = torch.autograd.grad(
        output, parameters, grad_outputs=_in_memory(gradient), allow_unused=True
    )
    for buffer, values in zip(buffers, before, strict=True):
        buffer.copy_(values)
    return _stepped(module, step, parameters, gradients)


def train_guest(
    module: nn.Module,
    step: Step,
    objective: Objective,
    x: torch.Tensor,
    arrived: Sequence[torch.Tensor],
    y: torch.Tensor,
) -> tuple[Stepped, torch.Tensor, float]:
    """Make the step of the party that has the targets: of its bottom, and of what lies above.

    Args:
        module: The model.
        step: Of a guest's ``Pieces``: its bottom and its top.
        objective: The loss.
        x: Its own minibatch.
        arrived: The outputs of the other parties' bottoms, which are added to its own.
        y: The targets.

    Returns:
        The step, the gradient of the loss by the sum of the outputs, and the loss.
    """
    assert isinstance(step.piece, Pieces)
    bottom, top = step.piece.pieces
    parameters = step.piece.parameters(module)
    module.train()
    seed_torch(CPU, step.torch_seed)
    total = bottom.run(module, x)
    for output in arrived:
        total = total + output
    loss = objective.loss(top.run(module, total), y)
    gradient, *gradients = torch.autograd.grad(loss, [total, *parameters], allow_unused=True)
    return _stepped(module, step, parameters, gradients), gradient, float(loss.detach())


def train_top(
    module: nn.Module, step: Step, objective: Objective, arrived: torch.Tensor, y: torch.Tensor
) -> tuple[Stepped, torch.Tensor, float]:
    """Make the top's step; return it, the gradient of the loss at the cut, and the loss."""
    parameters = step.piece.parameters(module)
    below = _in_memory(arrived).detach().requires_grad_()
    loss = objective.loss(_forward(module, step, below), y)
    gradient, *gradients = torch.autograd.grad(loss, [below, *parameters], allow_unused=True)
    return _stepped(module, step, parameters, gradients), gradient, float(loss.detach())


def _forward(module: nn.Module, step: Step, x: torch.Tensor) -> torch.Tensor:
    module.train()
    seed_torch(CPU, step.torch_seed)
    return step.piece.run(module, x)


def _in_memory(values: torch.Tensor) -> torch.Tensor:
    """Return what has crossed the cut as the layer before would leave it in memory.

    Convolutions leave the channels last (``models/flat.py``), and oneDNN's sums have other last
    bits where they are not.
    """
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


def _stepped(
    module: nn.Module,
    step: Step,
    parameters: list[nn.Parameter],
    gradients: Sequence[torch.Tensor | None],
) -> Stepped:
    """Change the parameters of a piece as the loop engine does; return what comes of it."""
    weights = [parameter.data for parameter in parameters]
    present = [
        torch.zeros_like(weight) if gradient is None else gradient
        for gradient, weight in zip(gradients, weights, strict=True)
    ]
    state = step.recipe.optimizer.start(weights)
    if step.memory is not None:
        _load(state, step.memory)
    present = clipped(step.recipe, present, 0)
    step.recipe.optimizer.step(weights, present, state, step.lr, step.number)

    memory = [torch.cat([values.reshape(-1) for values in tensors]) for tensors in state]
    vector = step.piece.vector(module, step.layout)
    return Stepped(vector, torch.stack(memory) if memory else None)


def _load(state: list[list[torch.Tensor]], memory: torch.Tensor) -> None:
    """Put the optimizer's state (lists, parameters) into its tensors."""
    for tensors, row in zip(state, memory, strict=True):
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, values in zip(tensors, row.split(sizes), strict=True):
            tensor.copy_(values.reshape(tensor.shape))
