"""Local steps by torch.optim on a module of its own, for models that ``reference.py`` does not write out."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from tests.algorithms.reference import Run


def trained(
    run: Run, start: torch.Tensor, round_number: int, client: int, steps: int, request: int = 0
) -> torch.Tensor:
    """Return the vector (size,) after SGD from ``start``: parameters, and the float buffers behind them."""
    module = run.job.model.build(run.experiment.population.data.shape).train()
    tensors = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
    pieces = start.split([tensor.numel() for tensor in tensors])
    with torch.no_grad():
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.view(tensor.shape))

    optimizer = torch.optim.SGD(module.parameters(), lr=run.job.training.lr)
    for x, y in run.batches(round_number, client, steps, request):
        optimizer.zero_grad()
        cross_entropy(module(x), y).backward()
        optimizer.step()
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
