"""Models given as vectors, inside of a Call or of a loss of an algorithm's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn

LossOfOutput = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""loss(output, y) is a scalar tensor, as ``ClientContext.loss``."""


def tensors_in(module: nn.Module, layout: Layout, vector: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a vector (size,) as the tensors of a module: views of it, by every name.

    They have the module's memory order. A tensor with several names is there under each of them;
    frozen parameters are left out.
    """
    first: dict[int, str] = {}
    views = {}
    for name, tensor in _tensors(module):
        where = layout.slices.get(first.setdefault(id(tensor), name))
        if where is not None:
            begin = vector.storage_offset() + where.start
            views[name] = vector.as_strided(tensor.shape, tensor.stride(), begin)
    return views


def vector_of(module: nn.Module, layout: Layout, like: torch.Tensor) -> torch.Tensor:
    """Return what a module holds now as a new vector (size,), on the device of ``like``."""
    vector = like.new_empty(layout.size)
    views = tensors_in(module, layout, vector)
    for name, tensor in _tensors(module):
        if name in views:
            views[name].copy_(tensor.detach())
    return vector


def gradient_at(
    module: nn.Module,
    layout: Layout,
    vector: torch.Tensor,
    loss: LossOfOutput,
    x: torch.Tensor,
    y: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient (size,) of the loss of other weights on a batch, and that loss.

    The module keeps its own weights. The averaged segment of ``vector`` is changed in place, as a
    step of training changes it; the gradient is 0 there.
    """
    import torch

    gradient = torch.zeros_like(vector)
    tensors = tensors_in(module, layout, vector)
    pieces = tensors_in(module, layout, gradient)
    names = [name for name in layout.parameters if name in tensors]
    leaves = {name: tensors[name].detach().requires_grad_() for name in names}

    value = loss(output_with(module, tensors | leaves, x), y)
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    for name, own in zip(names, found, strict=True):
        if own is not None:
            pieces[name].copy_(own)
    return gradient, value.detach()


def output_with(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """Return a module's output for a batch with other tensors in it; it keeps its own.

    Args:
        module: The module, in training mode or not.
        tensors: What takes the place of its own, by name: by the first one where a tensor has
            several. Buffers among them are changed in place, as training changes them.
        x: The batch.
    """
    import torch

    names: dict[int, str] = {}
    for name, own in _tensors(module):
        if name in tensors:
            names.setdefault(id(own), name)

    placed = {}
    for place, own in _places(module):
        if id(own) in names:
            placed[place] = tensors[names[id(own)]]
        elif not isinstance(own, torch.nn.Parameter):
            placed[place] = own.clone()  # a buffer, such as batch norm's count of batches
    output: torch.Tensor = torch.func.functional_call(module, placed, (x,), tie_weights=False)
    return output


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """Set torch's generator back afterwards: dropout then hides the same in the next pass."""
    import torch

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _places(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every place of a tensor in a module; a tensor may be in several.

    A layer with two names is one place: given both, functional_call would leave there what it has
    put in (torch 2.13).
    """
    for prefix, layer in module.named_modules():
        yield from layer.named_parameters(prefix, recurse=False, remove_duplicate=False)
        yield from layer.named_buffers(prefix, recurse=False, remove_duplicate=False)


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every name in a module with its parameter or buffer."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)
