"""A group of participants: trained, and turned into the updates that the algorithm sums."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from mpifl.algorithms.algorithm import ClientContext
from mpifl.errors import InputError, TrainingError, at
from mpifl.io.files import DiskFull
from mpifl.rounds.contract import is_plug_in
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.protocol import Versions
from mpifl.rounds.update_sum import UpdateSum
from mpifl.rounds.worker import Worker
from mpifl.seeds import Purpose, number
from mpifl.training.device import CPU, seed_torch
from mpifl.training.participant import Engine, LocalResult, Participant

LOG = logging.getLogger(__name__)

AFTER_TRAINING = 1
"""Added to the key of a client's torch seed for what it draws after training."""

Result = TypeVar("Result")
Sent = dict[int, tuple[str, torch.Tensor, int]]
"""The tensors that a group was sent, by id: the name, and torch's count of writes to it."""


@dataclass(frozen=True)
class ClientUpdate:
    """What one client contributes to the round's sum.

    ``index`` is its place in the group. ``vectors`` are the trained part of the algorithm's summed
    vectors by name, (trained,) float32; ``averages`` the averaged buffers, (averaged,) float32.
    """

    index: int
    vectors: dict[str, torch.Tensor]
    averages: torch.Tensor
    loss: float


def client_updates(
    worker: Worker, tasks: np.ndarray, versions: Versions, update_sum: UpdateSum, oldest: int
) -> Iterator[ClientUpdate]:
    """Train a group of tasks and yield the updates of its clients, in its order.

    A client whose training fails ends the run or is left out, as ``runtime.on_client_error`` says.
    An update is made when it is asked for, so that one at a time is in memory.

    Args:
        worker: What this rank trains with.
        tasks: The group (structured TASK), all of one round.
        versions: Model versions by number, among them those that the tasks train from.
        update_sum: What the updates are going to be added to; checks whether they can be.
        oldest: The round after which the run might be resumed.
    """
    experiment = worker.experiment
    prepared: dict[int, tuple[Participant, ClientContext]] = {}
    for index, task in enumerate(tasks):
        ready = _or_drop(experiment, task, partial(_prepare, worker, task, versions))
        if ready is not None:
            prepared[index] = ready

    sent: Sent = {}
    for _, context in prepared.values():
        for name, vector in context.sent.items():
            sent[id(vector)] = (name, vector, vector._version)

    trained = tasks[list(prepared)]
    results = _train(worker, trained, [participant for participant, _ in prepared.values()])
    _check_sent(experiment, trained, "adjust", sent)

    for (index, (_, context)), result in zip(prepared.items(), results, strict=True):
        if result is not None:
            make = partial(_update, worker, tasks, index, result, context, update_sum, oldest)
            update = _or_drop(experiment, tasks[index], make)
            if update is not None:
                yield update
        _check_sent(experiment, tasks[[index]], "contribute", sent)


def _prepare(worker: Worker, task: Any, versions: Versions) -> tuple[Participant, ClientContext]:
    """Return what the engine, and what the algorithm, is given of a task's client."""
    job = worker.experiment.job
    population = worker.experiment.population
    client = int(task["client"])
    round_number = int(task["round"])
    state_round = int(task["state_round"])

    state = worker.store.read(client, state_round) if state_round else None
    context = ClientContext(
        sent=worker.version(int(task["base"]), versions),
        kept=None if state is None else torch.from_numpy(state).to(worker.device),
        steps=int(task["steps"]),
        lr=job.training.lr,
    )

    participant = Participant(
        base=context.sent["model"],
        pool=worker.samples,
        rows=population.data.train.rows(population.data_client(client)),
        steps=context.steps,
        order=partial(worker.order, round_number, client),
        rng_seed=partial(number, job.seed, Purpose.DROPOUT, round_number, client),
        adjust=partial(job.algorithm.adjust, context=context) if job.algorithm.adjusts else None,
    )
    return participant, context


def _train(worker: Worker, tasks: np.ndarray, group: list[Participant]) -> list[LocalResult | None]:
    """Train the group as one; return a result for each, None for a client that is left out.

    Where that fails, and the job goes on without clients that fail, each is trained alone.
    """
    experiment = worker.experiment
    if len(group) > 1:
        try:
            with at(partial(task_names, experiment, tasks)):
                return [*worker.engine(group)]
        except Exception as error:
            aborts = experiment.job.runtime.on_client_error == "abort"
            if aborts or isinstance(error, InputError):
                raise

    return [
        _or_drop(experiment, task, partial(_train_alone, worker.engine, participant))
        for task, participant in zip(tasks, group, strict=True)
    ]


def _train_alone(engine: Engine, participant: Participant) -> LocalResult:
    return engine([participant])[0]


def _update(
    worker: Worker,
    tasks: np.ndarray,
    index: int,
    result: LocalResult,
    context: ClientContext,
    update_sum: UpdateSum,
    oldest: int,
) -> ClientUpdate:
    """Return what the algorithm makes of a client's training; write the state that it keeps."""
    experiment = worker.experiment
    algorithm = experiment.job.algorithm
    task = tasks[index]
    client = int(task["client"])
    round_number = int(task["round"])

    if is_plug_in(algorithm):  # it may draw from torch's generators
        key = (Purpose.DROPOUT, round_number, client, AFTER_TRAINING)
        for device in {CPU, worker.device}:
            seed_torch(device, number(experiment.job.seed, *key))
    contribution, state = algorithm.contribute(result.update, context)

    vectors = {}
    for name in algorithm.summed:
        vector = contribution[name]
        if vector.shape != result.update.shape:
            raise TrainingError(
                f"{name} is not usable: its shape is {tuple(vector.shape)}, the model's is"
                f" {tuple(result.update.shape)}"
            )
        vectors[name] = vector[: len(experiment.model.gradient)]
    if experiment.job.runtime.on_client_error == "drop":
        update_sum.check(vectors, result.averages)  # before anything is added: no half of a client

    if algorithm.keeps_state != (state is not None):
        returned = "no state" if state is None else "state"
        raise TrainingError(
            f"algorithm.name: {algorithm.name!r} returned {returned} to keep, and"
            f" keeps_state is {algorithm.keeps_state}"
        )
    if state is not None:
        worker.store.write(client, round_number, state.cpu().numpy(), oldest)

    return ClientUpdate(index, vectors, result.averages, result.loss)


def _check_sent(experiment: Experiment, tasks: np.ndarray, hook: str, sent: Sent) -> None:
    """Raise InputError when a hook has written into a tensor that the server sent.

    The tensor is the rank's one copy for all clients, and on rank 0 the server's own.
    """
    for name, vector, writes in sent.values():
        if vector._version != writes:
            with at(partial(task_names, experiment, tasks)):
                raise InputError(
                    f"algorithm.name: {experiment.job.algorithm.name!r} is not allowed: its {hook}"
                    f" changes context.sent[{name!r}] in place, which other clients get too; change"
                    " a copy (clone)"
                )


def _or_drop(experiment: Experiment, task: Any, action: Callable[[], Result]) -> Result | None:
    """Return what ``action`` returns; None for a client that fails and is left out."""
    try:
        return action()
    except Exception as error:
        client = task_names(experiment, np.array([task]))
        aborts = experiment.job.runtime.on_client_error == "abort"
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
