"""The handlers of servers: they have no samples, and may compute with the model."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mpifl.algorithms.requests import Request
from mpifl.errors import at
from mpifl.messages.letter import Handling
from mpifl.rounds.clients.server_calls import serve_calls
from mpifl.rounds.clients.worker import Worker
from mpifl.seeds import Purpose, number


def name_of(handling: Handling) -> str:
    """Return a handler in words, for errors."""
    event = handling.event
    return f"actor {handling.actor}, {event.what} {event.name}".rstrip()


def run_server(worker: Worker, handler: Generator[Request, Any, None], handling: Handling) -> None:
    """Run the generator of a server's handler to its end.

    Raises TrainingError for other requests than Call.
    """
    seed = worker.experiment.job.seed

    def refusal(kind: str) -> str:
        return f"a server has no samples, and asks for {kind}"

    def seed_of(request: int) -> int:
        return number(seed, Purpose.DROPOUT, handling.event.round, handling.actor, request)

    with at(name_of(handling)):
        serve_calls(handler, worker.model, worker.device, seed_of, refusal)
