"""The requests of a server's program: it has no samples, and may compute with the model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import torch

from mpifl.algorithms.requests import Call
from mpifl.errors import TrainingError
from mpifl.models.flat import FlatModel
from mpifl.training.device import seed_torch

Returned = TypeVar("Returned")


def serve_calls(
    program: Generator[Any, Any, Returned],
    model: FlatModel,
    device: torch.device,
    seed_of: Callable[[int], int],
    refusal: Callable[[str], str],
) -> Returned:
    """Serve a server's program to its end; return what it returns.

    The function of a ``Call`` gets two empty tensors as its samples.

    Args:
        program: Yields requests.
        model: What its functions compute with; left as it was.
        device: Where that is.
        seed_of: The seed of torch's generators for a request, counted from 0.
        refusal: The message for a request of another type, by its name.

    Raises:
        TrainingError: It asks for something else than a Call.
    """
    nothing = torch.empty(0, device=device)
    answer = None
    requests = 0
    while True:
        try:
            request = program.send(answer)
        except StopIteration as end:
            returned: Returned = end.value
            return returned
        if not isinstance(request, Call):
            raise TrainingError(refusal(type(request).__name__))

        seed_torch(device, seed_of(requests))
        requests += 1
        model.load(request.weights)
        try:
            answer = request.function(model.module, nothing, nothing)
        finally:
            model.restore()
