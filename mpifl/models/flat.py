"""A model as one contiguous float32 vector, with views for its tensors.

MPI sends the vector without packing, and the optimizer is a few operations on it. Trainable parameters come first, then the
floating-point buffers (running means of batch norm), which travel and are averaged with them; integer buffers stay local.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class FlatModel:
    """``module``'s tensors are views into ``weights`` (n,), its gradients views into ``gradient`` (trainable,)."""

    module: nn.Module
    weights: torch.Tensor
    gradient: torch.Tensor
    names: tuple[str, ...]
    starts: tuple[int, ...]

    @property
    def trainable(self) -> torch.Tensor:
        """The part of ``weights`` that SGD changes."""
        return self.weights[: len(self.gradient)]

    def where(self, index: int) -> str:
        """The tensor that holds entry ``index`` of the vector."""
        return self.names[max(i for i, start in enumerate(self.starts) if start <= index)]


def flatten(module: nn.Module) -> FlatModel:
    """Move a module's tensors into one vector; the module works on as before."""
    parameters = dict(module.named_parameters())
    buffers = {name: b for name, b in module.named_buffers() if b.is_floating_point()}
    tensors = {**parameters, **buffers}
    weights = torch.cat([tensor.detach().float().reshape(-1) for tensor in tensors.values()])
    gradient = torch.zeros(sum(p.numel() for p in parameters.values()))
    starts, start = [], 0
    for name, tensor in tensors.items():
        starts.append(start)
        stop = start + tensor.numel()
        tensor.data = weights[start:stop].view(tensor.shape)
        if name in parameters:
            tensor.grad = gradient[start:stop].view(tensor.shape)
        start = stop
    return FlatModel(module, weights, gradient, tuple(tensors), tuple(starts))
