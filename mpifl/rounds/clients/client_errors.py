"""What happens when a client fails: the run ends, or goes on without the client."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from mpifl.errors import Diverged, InputError, at
from mpifl.io.files import DiskFull
from mpifl.rounds.experiment.experiment import Experiment

LOG = logging.getLogger(__name__)

Result = TypeVar("Result")


def or_drop(experiment: Experiment, task: Any, action: Callable[[], Result]) -> Result | None:
    """Return what ``action`` returns; None for a client that fails and is left out."""
    try:
        return action()
    except Exception as error:
        client = task_names(experiment, np.array([task]))
        aborts = experiment.job.runtime.on_client_error == "abort"
        if isinstance(error, Diverged) and experiment.survives_divergence:
            aborts = False
        if aborts or isinstance(error, DiskFull | InputError):
            with at(client):
                raise
        reason = f"{type(error).__name__}: {error}"
        LOG.warning("%s: dropped: %s", client, reason)
        return None


def task_names(experiment: Experiment, tasks: np.ndarray) -> str:
    """Return the round and the clients of some tasks, for messages."""
    names = [experiment.population.client_name(int(client)) for client in tasks["client"]]
    clients = "clients" if len(names) > 1 else "client"
    return f"round {tasks['round'][0]}, {clients} {', '.join(map(str, names))}"
