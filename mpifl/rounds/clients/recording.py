"""Updates as they reach the server, kept in the run directory for an analysis (``mpifl invert``).

``record.updates`` names them. Each is one file, which the rank that trained the client writes when
the update counts; a round that is repeated writes the same bytes again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mpifl.attacks.attackers import data_clients
from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, read_errors, whole_file
from mpifl.rounds.experiment.experiment import Experiment

if TYPE_CHECKING:
    import torch

    from mpifl.algorithms.context import ClientContext

FOLDER = "updates"
FACTS = "mpifl"
"""The key of the file's metadata, JSON: a single one, so that the same update is the same bytes."""


@dataclass(frozen=True)
class Facts:
    """What the server knows of an update: which it is, and how it was made.

    ``steps`` is 0 where it is one gradient over all samples, times the learning rate ``lr``.
    """

    round: int
    client: int
    samples: int
    steps: int
    lr: float


@dataclass(frozen=True)
class Recorded:
    """An update: its facts, the model that the client received (size,), and what arrived of it.

    ``update`` (trained,) float32 is the client's model minus the received one.
    """

    facts: Facts
    received: np.ndarray
    update: np.ndarray


def is_recorded(experiment: Experiment, client: int, round_number: int) -> bool:
    """Return whether a client's update of a round is to be recorded."""
    wanted = experiment.job.record.updates
    if wanted is None or round_number not in wanted.rounds:
        return False
    population = experiment.population
    named = data_clients(wanted.clients, population)
    return client in wanted.clients or population.data_client(client) in named


def recorded_of(
    experiment: Experiment, context: ClientContext, steps: int, update: torch.Tensor
) -> Recorded | None:
    """Return what is recorded of a client's update; None for nothing.

    Args:
        experiment: The job.
        context: What the client's program saw.
        steps: The local steps that it made; 0 for one gradient over all samples.
        update: What arrives, (trained,).
    """
    if not is_recorded(experiment, context.client, context.round):
        return None
    facts = Facts(
        round=context.round,
        client=context.client,
        samples=context.samples,
        steps=steps,
        lr=context.lr,
    )
    arrays = (tensor.detach().cpu().numpy().copy() for tensor in (context.received_model, update))
    return Recorded(facts, *arrays)


def path_of(run: Path, round_number: int, client: int) -> Path:
    """Return the file of an update below a run directory."""
    return run / FOLDER / f"round-{round_number}-client-{client}.safetensors"


def write_recorded(run: Path, recorded: Recorded) -> None:
    """Write an update below a run directory. Raises DiskFull."""
    facts = recorded.facts
    path = path_of(run, facts.round, facts.client)
    arrays = {"received": recorded.received, "update": recorded.update}
    content = save(arrays, metadata={FACTS: json.dumps(asdict(facts))})
    with disk_full_errors(path, len(content), run=run):
        path.parent.mkdir(exist_ok=True)
        with whole_file(path, len(content)) as partial:
            partial.write_bytes(content)


def remove_recorded(run: Path, tasks: np.ndarray) -> None:
    """Remove the updates of tasks (structured TASK) of a round that is not the run's after all."""
    for task in tasks:
        path_of(run, int(task["began"]), int(task["client"])).unlink(missing_ok=True)


def read_recorded(path: Path) -> Recorded:
    """Return the update of a file. Raises InputError when it is missing or damaged."""
    with read_errors(path):
        content = path.read_bytes()
        try:
            arrays = load(content)
            length = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + length])
            facts = Facts(**json.loads(header["__metadata__"][FACTS]))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: damaged: no recorded update ({error})") from error
    return Recorded(facts, arrays["received"], arrays["update"])


def recorded_in(run: Path) -> list[Recorded]:
    """Return the updates that a run has recorded, by round and client."""
    found = [read_recorded(path) for path in sorted((run / FOLDER).glob("*.safetensors"))]
    return sorted(found, key=lambda one: (one.facts.round, one.facts.client))
