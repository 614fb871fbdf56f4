"""``training.optimizer.keep``: a client's optimizer goes on where its last participation ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch

    from mpifl.algorithms.requests import Train
    from mpifl.training.optimizer_memory import OptimizerMemory

VALUES = "optimizer.values"
STEPS = "optimizer.steps"
NAMES = frozenset({VALUES, STEPS})
"""The names under which clients keep the state of their optimizer, and its steps so far."""

DIGIT = 1 << 20
"""Steps are kept as two numbers of float32, which has whole numbers up to 2^24 only."""


def kept_shapes(job: Job, layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return what a client keeps of its optimizer; nothing where it starts anew."""
    optimizer = job.training.optimizer
    if not optimizer.keep:
        return {}
    from mpifl.training.optimizer_memory import lists_of

    return {VALUES: (lists_of(optimizer), layout.trained), STEPS: (2,)}


def check_kept_optimizer(job: Job, layout: Layout) -> None:
    """Raise InputError where an optimizer's state cannot be kept."""
    optimizer = job.training.optimizer
    if not optimizer.keep:
        return
    from mpifl.training.optimizer_memory import lists_of

    where = "training.optimizer.keep: true is not allowed with"
    if job.protocol.has_actors:
        raise InputError(f"{where} protocol.name {job.protocol.name}; allowed: rounds")
    if not lists_of(optimizer):
        raise InputError(
            f"{where} {optimizer.name} without momentum, which has no state; give it momentum, or"
            " leave keep out"
        )
    algorithm = job.algorithm
    if not algorithm.trains or not algorithm.cost(layout).training:
        raise InputError(f"{where} algorithm.name {algorithm.name}, which makes no local steps")


def memory_for(
    job: Job,
    request: Train,
    first: bool,
    stored: Mapping[str, np.ndarray],
    device: torch.device,
) -> OptimizerMemory | None:
    """Return what the optimizer of a training goes on from; None where nothing is kept of it.

    Args:
        job: Says whether anything is kept: of a program's first training, with the job's optimizer.
        request: The training.
        first: Whether it is the first of its program.
        stored: What the client has kept; empty before its first participation.
        device: Where it trains.
    """
    if not (job.training.optimizer.keep and first and request.optimizer is None):
        return None
    import torch

    from mpifl.training.optimizer_memory import OptimizerMemory

    if VALUES not in stored:
        return OptimizerMemory()
    high, low = stored[STEPS].tolist()
    values = torch.from_numpy(stored[VALUES]).to(device)
    return OptimizerMemory(values, int(high) * DIGIT + int(low))


def kept_of(
    memory: OptimizerMemory | None,
    stored: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, np.ndarray | torch.Tensor]:
    """Return what a client keeps of its optimizer, by name; as before where it did not train."""
    if memory is None or memory.values is None:
        return {name: stored.get(name, np.zeros(shapes[name], np.float32)) for name in NAMES}
    return {VALUES: memory.values, STEPS: np.array(divmod(memory.steps, DIGIT))}
