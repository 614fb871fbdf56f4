"""A model as one contiguous float32 vector, with views for its tensors.

MPI sends the vector without packing, and the optimizer is a few operations on it. Trainable parameters come first, then what
SGD leaves alone but travels and is averaged with them: frozen parameters and floating-point buffers (running means of batch
norm). Other buffers (batch norm's count of batches) begin anew with every participant.

The weights of two-dimensional convolutions lie there with the input channels last, (out, height, width, in): oneDNN trains them
up to a half faster so. To Python they look as ever, (out, in, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class FlatModel:
    """``module``'s tensors are views into ``weights`` (n,), its gradients views into ``gradient`` (trainable,).

    ``names`` and ``starts`` say where in the vector each of ``tensors`` is; the first of these are the trained ``parameters``.
    ``counters`` pairs each other buffer with its first value.
    """

    module: nn.Module
    weights: torch.Tensor
    gradient: torch.Tensor
    names: tuple[str, ...]
    starts: tuple[int, ...]
    parameters: tuple[nn.Parameter, ...]
    tensors: tuple[torch.Tensor, ...]
    counters: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def trainable(self) -> torch.Tensor:
        """The part of ``weights`` that SGD changes."""
        return self.weights[: len(self.gradient)]

    def load(self, weights: torch.Tensor) -> None:
        """Set the module to ``weights`` (n,), and what is not in the vector to what it was at first."""
        self.weights.copy_(weights)
        for buffer, first in self.counters:
            buffer.copy_(first)

    def split(self, vectors: torch.Tensor) -> list[torch.Tensor]:
        """Views of the tensors that lie in vectors (..., n) or (..., trainable), each (..., *shape)."""
        stops = (*self.starts[1:], len(self.weights))
        pieces = zip(self.starts, stops, self.tensors, strict=True)
        return [_shaped(vectors[..., a:b], like) for a, b, like in pieces if b <= vectors.shape[-1]]

    def where(self, index: int) -> str:
        """The tensor that holds entry ``index`` of the vector."""
        return self.names[max(i for i, start in enumerate(self.starts) if start <= index)]


def flatten(module: nn.Module) -> FlatModel:
    """Move a module's tensors into one vector; the module works on as before."""
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    frozen = {name: p for name, p in module.named_parameters() if not p.requires_grad}
    buffers = {name: b for name, b in module.named_buffers() if b.is_floating_point()}
    counters = tuple((b, b.clone()) for b in module.buffers() if not b.is_floating_point())
    tensors = {**parameters, **frozen, **buffers}
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            # A copy, since contiguous() leaves a single input channel as it is, and oneDNN then takes it for channels first.
            last = layer.weight.data.movedim(1, -1).clone(memory_format=torch.contiguous_format)
            layer.weight.data = last.movedim(-1, 1)
    device = next((tensor.device for tensor in tensors.values()), None)
    weights = torch.empty(sum(tensor.numel() for tensor in tensors.values()), device=device)
    gradient = torch.zeros(sum(p.numel() for p in parameters.values()), device=device)
    starts, start = [], 0
    for name, tensor in tensors.items():
        starts.append(start)
        stop = start + tensor.numel()
        place = _shaped(weights[start:stop], tensor)
        place.copy_(tensor.detach())
        if name in parameters:
            tensor.grad = _shaped(gradient[start:stop], tensor)
        tensor.data = place
        start = stop
    return FlatModel(
        module, weights, gradient, tuple(tensors), tuple(starts), tuple(parameters.values()), tuple(tensors.values()), counters
    )


def _shaped(piece: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A piece (..., size) of a vector as a tensor of the shape, and with the order in memory, that another has."""
    first = piece.shape[:-1]
    if like.dim() == 4 and like.stride(1) == 1:
        out, channels, height, width = like.shape
        return piece.view(*first, out, height, width, channels).movedim(-1, -3)
    return piece.view(*first, *like.shape)
