"""A group of participants: trained, and what they contribute checked and added to the running sum."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from mpifl.algorithms.algorithm import Work
from mpifl.batch import Versions
from mpifl.client_state import ClientStore
from mpifl.errors import InputError, TrainingError, at
from mpifl.exact_sum import VALUE_LIMIT, accumulate, first_unsummable
from mpifl.experiment import Experiment
from mpifl.files import NoRoom
from mpifl.result import METRIC
from mpifl.seeds import Purpose, generator, number
from mpifl.training import ENGINES
from mpifl.training.participant import LocalResult, Participant
from mpifl.training.samples import samples_of

Found = TypeVar("Found")
Prepared = tuple[Participant, Work]


def contribute(
    experiment: Experiment, store: ClientStore, tasks: np.ndarray, versions: Versions, part: np.ndarray, oldest: int
) -> np.ndarray:
    """Train a group of tasks (structured TASK, of one round) and add what they contribute to ``part`` (vectors, n).

    Returns their metrics (structured METRIC). A client whose training fails ends the run, or is left out, as the job says.
    """
    metrics = np.zeros(len(tasks), METRIC)
    metrics["round"], metrics["client"], metrics["loss"], metrics["failed"] = tasks["round"], tasks["client"], np.nan, True
    ready: list[tuple[int, Prepared]] = []
    for index, task in enumerate(tasks):
        found = _or_drop(experiment, task, partial(_prepare, experiment, store, task, versions))
        if found is not None:
            ready.append((index, found))
    results = _train(experiment, tasks[[index for index, _ in ready]], [participant for _, (participant, _) in ready])
    for (index, (_, work)), result in zip(ready, results, strict=True):
        task = tasks[index]
        if result and _or_drop(experiment, task, partial(_add, experiment, store, task, result, work, part, oldest)):
            metrics["loss"][index], metrics["failed"][index] = result.loss, False
    return metrics


def _names(experiment: Experiment, tasks: np.ndarray) -> str:
    """Whose work it is, for people."""
    names = [experiment.population.client_name(int(client)) for client in tasks["client"]]
    return f"round {tasks['round'][0]}, client{'s' * (len(names) > 1)} {', '.join(map(str, names))}"


def _or_drop(experiment: Experiment, task: Any, work: Callable[[], Found]) -> Found | None:
    """What ``work`` gives; None for a client with which it fails, where the job says that the run goes on without it."""
    try:
        return work()
    except Exception as error:
        who = _names(experiment, np.array([task]))
        if experiment.job.runtime.on_client_error == "abort" or isinstance(error, NoRoom | InputError):
            with at(who):
                raise
        print(f"mpifl: {who}: dropped: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return None


def _prepare(experiment: Experiment, store: ClientStore, task: Any, versions: Versions) -> Prepared:
    job, population = experiment.job, experiment.population
    client, round_number = int(task["client"]), int(task["round"])
    kept = store.read(client, round_number) if job.algorithm.keeps_state else None
    work = Work(
        sent={name: torch.from_numpy(vector) for name, vector in versions[int(task["base"])].items()},
        kept=None if kept is None else torch.from_numpy(kept),
        steps=int(task["steps"]),
        lr=job.training.lr,
    )
    train = population.data.train
    participant = Participant(
        base=work.sent["model"],
        samples=samples_of(population.data, train, train.rows(population.data_client(client)), copy=False),
        steps=work.steps,
        order=partial(generator, job.seed, Purpose.BATCHES, round_number, client),
        noise=partial(number, job.seed, Purpose.DROPOUT, round_number, client),
        correct=partial(job.algorithm.correct, work=work) if job.algorithm.corrects else None,
    )
    return participant, work


def _train(experiment: Experiment, tasks: np.ndarray, group: list[Participant]) -> list[LocalResult | None]:
    """Together; where that fails and the job goes on without clients that fail, each alone to see which those are."""
    job = experiment.job
    train = partial(ENGINES[job.training.engine], experiment.model, experiment.task, job.training)
    if len(group) > 1:
        try:
            with at(partial(_names, experiment, tasks)):
                return [*train(group)]
        except Exception:
            if job.runtime.on_client_error == "abort":
                raise
    return [_or_drop(experiment, task, partial(_alone, train, one)) for task, one in zip(tasks, group, strict=True)]


def _alone(train: Callable[[list[Participant]], list[LocalResult]], participant: Participant) -> LocalResult:
    return train([participant])[0]


def _add(
    experiment: Experiment, store: ClientStore, task: Any, result: LocalResult, work: Work, part: np.ndarray, oldest: int
) -> bool:
    """Add what one participant contributes."""
    job = experiment.job
    contribution, keep = job.algorithm.contribute(result.update, work)
    vectors = {name: contribution[name].numpy() for name in job.algorithm.summed}
    for name, vector in vectors.items():  # all of them before any is added: a client that is dropped adds nothing
        if vector.shape != part.shape[1:]:
            raise TrainingError(f"{name} is not usable: its shape is {vector.shape}, the model's is {part.shape[1:]}")
        if job.runtime.on_client_error == "drop" and (wrong := first_unsummable(vector)) is not None:
            raise _not_summable(name, experiment, vector[wrong], wrong)
    if keep is not None:
        store.write(int(task["client"]), int(task["round"]), keep.numpy(), oldest)
    for total, (name, vector) in zip(part, vectors.items(), strict=True):
        wrong = accumulate(total, vector, float(task["weight"]))
        if wrong is not None:
            raise _not_summable(name, experiment, vector[wrong], wrong)
    return True


def _not_summable(name: str, experiment: Experiment, value: np.float32, index: int) -> TrainingError:
    tensor = experiment.model.where(index)
    limit = f", and {VALUE_LIMIT:,.0f} is the limit" if np.isfinite(value) else ""
    return TrainingError(
        f"{name} is not usable: tensor {tensor} is {value:g}{limit}: training has diverged (a smaller training.lr may help)"
    )
