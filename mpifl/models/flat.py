"""A model as one contiguous float32 vector, with views for its tensors.

MPI sends the vector without packing, and the optimizer is a few operations on it. The vector has three segments:

- *trained*: the parameters that SGD changes; a participant sends what it changed in them.
- *averaged*: float32 buffers (batch norm's running mean and variance); a participant sends their
  values, and the server averages them.
- *fixed*: frozen parameters. They keep their values.

All other buffers are *local*: they are in no vector, keep their own type, and begin anew with every
participant. Those are integers (batch norm's count of batches), floating-point types other than
float32, and float32 that begins with what no average can hold (a mask with infinities).

The weights of two-dimensional convolutions lie there with the input channels last, (out, height, width, in): oneDNN trains them
up to a half faster so. To Python they look as ever, (out, in, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mpifl.aggregation.exact_sum import AVERAGE_LIMIT
from mpifl.errors import InputError


@dataclass(frozen=True)
class Local:
    """A buffer that is not in the vector, by name; ``first`` is its first value."""

    name: str
    tensor: torch.Tensor
    first: torch.Tensor

    @property
    def constant(self) -> bool:
        """Whether training has to leave it as it is: a count may change, for it begins anew."""
        return self.tensor.is_floating_point() or self.tensor.is_complex()


@dataclass(frozen=True)
class FlatModel:
    """``module``'s tensors are views into ``weights`` (n,), its gradients views into ``gradient`` (trainable,).

    ``names`` and ``starts`` say where in the vector each of ``tensors`` is; the first of these are the trained ``parameters``.
    ``averaged`` entries follow the trained ones, the fixed ones are the last.
    """

    module: nn.Module
    weights: torch.Tensor
    gradient: torch.Tensor
    averaged: int
    names: tuple[str, ...]
    starts: tuple[int, ...]
    parameters: tuple[nn.Parameter, ...]
    tensors: tuple[torch.Tensor, ...]
    local: tuple[Local, ...]

    @property
    def trainable(self) -> torch.Tensor:
        """The part of ``weights`` that SGD changes."""
        return self.weights[: len(self.gradient)]

    @property
    def averages(self) -> slice:
        """Where in the vector the averaged segment is."""
        return slice(len(self.gradient), len(self.gradient) + self.averaged)

    def load(self, weights: torch.Tensor) -> None:
        """Set the module to ``weights`` (n,), and what is not in the vector to what it was at first."""
        self.weights.copy_(weights)
        for buffer in self.local:
            buffer.tensor.copy_(buffer.first)

    def split(self, vectors: torch.Tensor) -> list[torch.Tensor]:
        """Views of the tensors that lie in vectors (..., n) or (..., trainable), each (..., *shape)."""
        stops = (*self.starts[1:], len(self.weights))
        pieces = zip(self.starts, stops, self.tensors, strict=True)
        return [_shaped(vectors[..., a:b], like) for a, b, like in pieces if b <= vectors.shape[-1]]

    def where(self, index: int) -> str:
        """The tensor that holds entry ``index`` of the vector."""
        return self.names[max(i for i, start in enumerate(self.starts) if start <= index)]

    def check_trained(self, base: torch.Tensor) -> None:
        """Raise InputError when training from ``base`` (n,) has changed what does not reach the server.

        On this rank it might reach the next participant.
        """
        if len(self.weights) == len(self.gradient) and not self.local:
            return
        held = dict(self.module.named_buffers())
        places = [*zip(self.names, self.starts, self.tensors, strict=True)][len(self.parameters) :]
        moved = [name for name, start, tensor in places if tensor.data_ptr() != self.weights[start:].data_ptr()]
        moved += [name for name, _, tensor in places if held.get(name, tensor) is not tensor]
        moved += [buffer.name for buffer in self.local if held.get(buffer.name) is not buffer.tensor]
        if moved:
            raise InputError(
                f"model.name: training puts another tensor in the place of {moved[0]}: that would be lost;"
                " change the one that is there (copy_, add_)"
            )
        for buffer in self.local:
            if buffer.constant and not _same(buffer.tensor, buffer.first):
                raise InputError(
                    f"model.name: training changes buffer {buffer.name} ({_kind(buffer.tensor)}), which is not averaged: that"
                    " would be lost; averaged are float32 buffers that begin with finite values"
                )
        fixed = slice(self.averages.stop, None)
        if not _same(self.weights[fixed], base[fixed]):
            index = self.averages.stop + int((self.weights[fixed] != base[fixed]).to(torch.uint8).argmax())
            raise InputError(
                f"model.name: training changes parameter {self.where(index)}, which is frozen (requires_grad is False): that"
                " would be lost; make it a buffer, which is averaged, or train it"
            )


def flatten(module: nn.Module) -> FlatModel:
    """Move a module's tensors into one vector; the module works on as before. Raises InputError for types it cannot hold."""
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise InputError(
                f"model.name: parameter {name} is {_kind(parameter)}; allowed: float32 (call .float() on the module)"
            )
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    frozen = {name: p for name, p in module.named_parameters() if not p.requires_grad}
    buffers = {name: buffer for name, buffer in module.named_buffers() if _can_be_averaged(buffer)}
    local = tuple(Local(name, b, b.clone()) for name, b in module.named_buffers() if name not in buffers)
    tensors = {**parameters, **buffers, **frozen}
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
        module=module,
        weights=weights,
        gradient=gradient,
        averaged=sum(buffer.numel() for buffer in buffers.values()),
        names=tuple(tensors),
        starts=tuple(starts),
        parameters=tuple(parameters.values()),
        tensors=tuple(tensors.values()),
        local=local,
    )


def _can_be_averaged(buffer: torch.Tensor) -> bool:
    return buffer.dtype == torch.float32 and bool((buffer.abs() < AVERAGE_LIMIT).all())


def _kind(tensor: torch.Tensor) -> str:
    """The type of its numbers, as torch calls it."""
    return str(tensor.dtype).removeprefix("torch.")


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether both have the same values, NaN among them."""
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _shaped(piece: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A piece (..., size) of a vector as a tensor of the shape, and with the order in memory, that another has."""
    first = piece.shape[:-1]
    if like.dim() == 4 and like.stride(1) == 1:
        out, channels, height, width = like.shape
        return piece.view(*first, out, height, width, channels).movedim(-1, -3)
    return piece.view(*first, *like.shape)
