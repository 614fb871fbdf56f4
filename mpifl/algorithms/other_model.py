"""Another model than the one that is trained, in the same module: for losses that need both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn

    Tensors = dict[str, torch.Tensor]


def parameters_in(module: nn.Module, layout: Layout, vector: torch.Tensor) -> Tensors:
    """Return the trained parameters of a module as they are in a vector (size,), by name.

    They are views of the vector, in the memory order of the module's own.
    """
    return {
        name: vector[layout.slices[name]].detach().as_strided(own.shape, own.stride())
        for name, own in module.named_parameters()
        if name in layout.slices
    }


def output_with(
    module: nn.Module, layout: Layout, vector: torch.Tensor, parameters: Tensors, x: torch.Tensor
) -> torch.Tensor:
    """Return the module's output for a batch ``x`` with the weights of a vector (size,).

    In training mode where the module is. The module, its buffers and torch's generators are left as
    they were, so layers such as dropout draw the same when the module is called next.

    Args:
        module: The module.
        layout: Where its tensors lie in a vector.
        vector: The weights.
        parameters: What ``parameters_in`` returns for them.
        x: The batch.
    """
    import torch
    from torch.func import functional_call

    tensors = dict(parameters)
    for name, own in module.named_buffers():
        where = layout.slices.get(name)
        copy = own.clone() if where is None else vector[where].clone().view(own.shape)
        tensors[name] = copy

    names = {id(own): name for name, own in [*module.named_parameters(), *module.named_buffers()]}
    placed = {
        place: tensors[names[id(own)]]
        for place, own in _places(module)
        if names[id(own)] in tensors
    }
    with torch.random.fork_rng([x.device] if x.is_cuda else []):
        output: torch.Tensor = functional_call(module, placed, (x,), tie_weights=False)
        return output


def _places(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every place of a tensor in the module, by name; a tensor may be in several.

    A layer with two names is one place: with both, functional_call would leave in it what was put
    there (torch 2.13).
    """
    for prefix, layer in module.named_modules():
        yield from layer.named_parameters(prefix, recurse=False, remove_duplicate=False)
        yield from layer.named_buffers(prefix, recurse=False, remove_duplicate=False)
