"""The two sides of an algorithm, called by hand: no run, no ranks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ClientContext, ServerContext, Upload
from mpifl.algorithms.requests import Call, Request
from mpifl.job.schema import Training
from mpifl.models.layout import Layout
from mpifl.optimizers.sgd import Sgd


def start(algorithm: Algorithm, model: np.ndarray, layout: Layout | None = None) -> Arrays:
    """The server's state before the first round, as mpifl keeps it."""
    layout = layout or Layout(len(model))
    state = algorithm.start(model.copy(), layout, np.random.default_rng(1))
    return {name: np.asarray(values, np.float32) for name, values in state.items()}


def others_of(
    algorithm: Algorithm, layout: Layout, clients: int
) -> dict[int, dict[str, torch.Tensor]]:
    """What other participants of the last round kept: numbers above 0, as counts are."""
    arrays = algorithm.kept_arrays(layout) if algorithm.needs_others else {}
    random = np.random.default_rng(5)
    return {
        10 + other: {
            name: torch.as_tensor(random.random(arrays[name].sized(layout.size)), dtype=torch.float)
            for name in algorithm.needs_others
        }
        for other in range(clients)
    }


def step(
    algorithm: Algorithm,
    state: Arrays,
    mean: Mapping[str, Any],
    participants: int = 3,
    clients: int = 10,
    layout: Layout | None = None,
    **changed: Any,
) -> Arrays:
    """The server's state after a round with these means, as mpifl keeps it.

    All participants are in slot 0; ``changed`` are other fields of the ServerContext.
    """
    layout = layout or Layout(state["model"].shape[-1])
    averaged = layout.averaged if algorithm.shares_averages else 0
    slots = np.zeros(algorithm.slots)
    slots[0] = 1.0
    fields: dict[str, Any] = {
        "round": 1,
        "asked": participants,
        "lr": 0.1,
        "training": Training(lr=0.1, optimizer=Sgd()),
        "weight": 1.0,
        "slots": slots,
        "averages": np.zeros((algorithm.slots, averaged)),
        "products": {0: (np.arange(participants), np.eye(participants))}
        if algorithm.needs_products
        else {},
        "public": lambda number: torch.randn(6, 3),
        "make_generator": lambda: np.random.default_rng(7),
        "others": others_of(algorithm, layout, participants),
    }
    context = ServerContext(
        state=state, participants=participants, clients=clients, layout=layout, **fields | changed
    )
    after = algorithm.server(context, dict(mean))
    if isinstance(after, Generator):
        after = served(after)
    return state | {name: np.asarray(values, np.float32) for name, values in after.items()}


def served(program: Generator[Call, Any, Arrays]) -> Arrays:
    """What a server's program returns where its calls leave the weights as they are."""
    answer = None
    while True:
        try:
            answer = program.send(answer).weights
        except StopIteration as end:
            return end.value


def context(
    received: Mapping[str, torch.Tensor],
    kept: Mapping[str, torch.Tensor] | None = None,
    layout: Layout | None = None,
    **changed: Any,
) -> ClientContext:
    """A participant of 3 local steps at a learning rate of 0.1 with 10 samples of two classes."""
    layout = layout or Layout(received["model"].shape[-1])
    fields: dict[str, Any] = {
        "client": 4,
        "round": 2,
        "samples": 10,
        "steps": 3,
        "lr": 0.1,
        "training": Training(lr=0.1, optimizer=Sgd()),
        "initial_or_none": torch.zeros(layout.size),
        "kept_round": 1 if kept else 0,
        "kind": 0,
        "count_labels": lambda: np.array([4, 6]),
        "loss": cross_entropy,
        "public": lambda number: torch.randn(6, 3),
        "make_generator": lambda: np.random.default_rng(8),
    }
    return ClientContext(
        received=received,
        kept=kept or {},
        layout=layout,
        **fields | changed,
    )


def uploaded(
    algorithm: Algorithm, c: ClientContext, answer: Callable[[Any], Any]
) -> tuple[Upload, list[Any]]:
    """What a client program uploads where ``answer`` serves its requests, and the requests."""
    program = algorithm.client(c)
    requests: list[Request] = []
    result = None
    while True:
        try:
            requests.append(program.send(result))
        except StopIteration as end:
            return end.value, requests
        result = answer(requests[-1])


def sent(upload: Upload, name: str) -> torch.Tensor:
    """What an upload has under a name, where that is a tensor."""
    values = upload.arrays[name]
    assert isinstance(values, torch.Tensor)
    return values
