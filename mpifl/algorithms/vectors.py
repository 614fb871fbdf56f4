"""Models given as vectors, inside of a Call or of a loss of an algorithm's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn

Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""loss(output, y) is a scalar tensor."""


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
    loss: Loss,
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
    # A tensor with several names is one leaf under all of them.
    by_place = {tensors[name].data_ptr(): leaf for name, leaf in leaves.items()}
    given = {name: by_place.get(tensor.data_ptr(), tensor) for name, tensor in tensors.items()}

    output = torch.func.functional_call(module, given, (x,), tie_weights=False)
    value = loss(output, y)
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    for name, own in zip(names, found, strict=True):
        if own is not None:
            pieces[name].copy_(own)
    return gradient, value.detach()


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every name in a module with its parameter or buffer."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)
