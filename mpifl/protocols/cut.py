"""A model in two halves: the layers that clients have, and those that a server has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.models.shapes_only import shapes_only
from mpifl.protocols.pieces import Half

KEY = "protocol.cut"


@dataclass(frozen=True)
class Cut:
    """Where a model is cut, and what both halves compute.

    Attributes:
        bottom: The layers of the clients.
        top: The layers of the server.
        numbers: Numbers that cross the cut with a sample, in either direction.
        forward: The clients' forward pass, as a share of a training pass of the whole model.
        backward: Their backward pass likewise.
        top_flops: FLOPs of a training pass of the server's half, for one sample.
    """

    bottom: Half
    top: Half
    numbers: int
    forward: float
    backward: float
    top_flops: float


def cut_of(job: Job, data: DataShape, after: int | str | None) -> Cut:
    """Return a job's model, cut after a layer.

    Args:
        job: The job.
        data: What the model is built for.
        after: The last layer of the clients: its name, or its place from 1 on; None for the first
            with parameters.

    Raises:
        InputError: The model is not sequential, or there is no such layer, or one half has nothing
            to train.
    """
    with shapes_only():
        module = job.model.build_checked(data)
    layers = _layers(job, module)
    last = _last(module, layers, after)
    bottom = Half(layers[:last])
    top = Half(layers[last:])
    for half in (bottom, top):
        if not half.parameters(module):
            raise _refusal(after, module, layers, "it leaves one side without weights to train")
    names = {id(tensor) for tensor in bottom.parameters(module)}
    if any(id(tensor) in names for tensor in top.parameters(module)):
        raise _refusal(after, module, layers, "both sides would share weights")

    return _counted(module.eval(), data, bottom, top)


def _layers(job: Job, module: nn.Module) -> tuple[str, ...]:
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed with protocol.name {job.protocol.name}:"
            " it is no torch.nn.Sequential, whose layers follow one another; allowed: logreg with"
            " no cut, mlp, the convolutional networks, or a Sequential of your own"
        )
    return tuple(name for name, _ in module.named_children())


def _last(module: nn.Module, layers: tuple[str, ...], after: int | str | None) -> int:
    """Return how many layers clients have."""
    if after is None:
        weighty = (place for place, name in enumerate(layers, 1) if _trains(module, name))
        return next(weighty, len(layers))
    if isinstance(after, str) and after in layers:
        return layers.index(after) + 1
    if isinstance(after, int) and 1 <= after < len(layers):
        return after
    raise _refusal(after, module, layers, "there is no such layer")


def _trains(module: nn.Module, name: str) -> bool:
    return any(tensor.requires_grad for tensor in module.get_submodule(name).parameters())


def _refusal(
    after: int | str | None, module: nn.Module, layers: tuple[str, ...], why: str
) -> InputError:
    """Return the error of a cut that cannot be made."""
    weighty = [place for place, name in enumerate(layers, 1) if _trains(module, name)]
    kinds = [
        f"{place} ({type(module.get_submodule(name)).__name__})"
        for place, name in enumerate(layers, 1)
        if weighty and weighty[0] <= place < weighty[-1]
    ]
    allowed = ", ".join(kinds) or "none for this model, which has weights in one layer only"
    return InputError(f"{KEY}: {after!r} is not allowed: {why}; allowed: {allowed}")


def _counted(module: nn.Module, data: DataShape, bottom: Half, top: Half) -> Cut:
    """Return the cut with what its halves compute for one sample, counted without values."""
    dtype = torch.int64 if data.vocabulary else torch.float32
    x = torch.zeros(1, *data.sample, dtype=dtype, device="meta")
    forward, smashed = flops(partial(bottom.run, module, x))
    backward, _ = flops(lambda: torch.autograd.backward(smashed.sum()))
    below = smashed.detach().requires_grad_()
    above, _ = flops(lambda: torch.autograd.backward(top.run(module, below).sum()))
    total = max(forward + backward + above, 1.0)
    return Cut(bottom, top, smashed[0].numel(), forward / total, backward / total, above)


def flops(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the FLOPs of an action on the device "meta", and what it returns."""
    counter = FlopCounterMode(display=False)
    with counter:
        result = action()
    return float(counter.get_total_flops()), result
