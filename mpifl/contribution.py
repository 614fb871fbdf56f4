"""A group of participants: trained, and what they contribute checked and added to the running sum."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from mpifl.algorithms.algorithm import Work
from mpifl.batch import Versions
from mpifl.device_sum import DeviceSum, unsummable
from mpifl.errors import InputError, TrainingError, at
from mpifl.exact_sum import VALUE_LIMIT
from mpifl.experiment import Experiment
from mpifl.files import NoRoom
from mpifl.result import METRIC
from mpifl.seeds import Purpose, number
from mpifl.training.participant import Engine, LocalResult, Participant
from mpifl.workplace import Workplace

Found = TypeVar("Found")
Prepared = tuple[Participant, Work]


def contribute(place: Workplace, tasks: np.ndarray, versions: Versions, part: np.ndarray, oldest: int) -> np.ndarray:
    """Train a group of tasks (structured TASK, of one round) and add what they contribute to ``part`` (vectors, n).

    Returns their metrics (structured METRIC). A client whose training fails ends the run, or is left out, as the job says.
    """
    experiment, sums = place.experiment, DeviceSum(part, place.device)
    metrics = np.zeros(len(tasks), METRIC)
    metrics["round"], metrics["client"], metrics["loss"], metrics["failed"] = tasks["round"], tasks["client"], np.nan, True
    ready: list[tuple[int, Prepared]] = []
    for index, task in enumerate(tasks):
        found = _or_drop(experiment, task, partial(_prepare, place, task, versions))
        if found is not None:
            ready.append((index, found))
    results = _train(place, tasks[[index for index, _ in ready]], [participant for _, (participant, _) in ready])
    for (index, (_, work)), result in zip(ready, results, strict=True):
        task = tasks[index]
        if result and _or_drop(experiment, task, partial(_add, place, task, result, work, sums, oldest)):
            metrics["loss"][index], metrics["failed"][index] = result.loss, False
    _close(experiment, sums, tasks[~metrics["failed"].astype(bool)])
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


def _prepare(place: Workplace, task: Any, versions: Versions) -> Prepared:
    job, population = place.experiment.job, place.experiment.population
    client, round_number = int(task["client"]), int(task["round"])
    state_round = int(task["state_round"])
    kept = place.store.read(client, state_round) if state_round else None
    work = Work(
        sent=place.version(int(task["base"]), versions),
        kept=None if kept is None else torch.from_numpy(kept).to(place.device),
        steps=int(task["steps"]),
        lr=job.training.lr,
    )
    participant = Participant(
        base=work.sent["model"],
        pool=place.samples,
        rows=population.data.train.rows(population.data_client(client)),
        steps=work.steps,
        order=partial(place.order, round_number, client),
        noise=partial(number, job.seed, Purpose.DROPOUT, round_number, client),
        correct=partial(job.algorithm.correct, work=work) if job.algorithm.corrects else None,
    )
    return participant, work


def _train(place: Workplace, tasks: np.ndarray, group: list[Participant]) -> list[LocalResult | None]:
    """Together; where that fails and the job goes on without clients that fail, each alone to see which those are."""
    experiment = place.experiment
    if len(group) > 1:
        try:
            with at(partial(_names, experiment, tasks)):
                return [*place.engine(group)]
        except Exception as error:
            if experiment.job.runtime.on_client_error == "abort" or isinstance(error, InputError):
                raise
    return [_or_drop(experiment, task, partial(_alone, place.engine, one)) for task, one in zip(tasks, group, strict=True)]


def _alone(engine: Engine, participant: Participant) -> LocalResult:
    return engine([participant])[0]


def _add(place: Workplace, task: Any, result: LocalResult, work: Work, sums: DeviceSum, oldest: int) -> bool:
    """Add what one participant contributes."""
    job, like = place.experiment.job, result.update.shape
    contribution, keep = job.algorithm.contribute(result.update, work)
    vectors = {name: contribution[name] for name in job.algorithm.summed}
    for name, vector in vectors.items():  # all of them before any is added: a client that is dropped adds nothing
        if vector.shape != like:
            raise TrainingError(f"{name} is not usable: its shape is {tuple(vector.shape)}, the model's is {tuple(like)}")
        if job.runtime.on_client_error == "drop" and (wrong := unsummable(vector)) is not None:
            raise _not_summable(name, place.experiment, float(vector[wrong]), wrong)
    if job.algorithm.keeps_state != (keep is not None):
        returned = "no state" if keep is None else "state"
        declared = f"keeps_state is {job.algorithm.keeps_state}"
        raise TrainingError(f"algorithm.name: {job.algorithm.name!r} returned {returned} to keep, and {declared}")
    if keep is not None:
        place.store.write(int(task["client"]), int(task["round"]), keep.cpu().numpy(), oldest)
    for index, (name, vector) in enumerate(vectors.items()):
        wrong = sums.add(index, vector, float(task["weight"]))
        if wrong is not None:
            raise _not_summable(name, place.experiment, float(vector[wrong]), wrong)
    return True


def _close(experiment: Experiment, sums: DeviceSum, tasks: np.ndarray) -> None:
    """Nothing more of ``tasks`` is added; what a GPU has found to be wrong is said now."""
    found = sums.close()
    if found is not None:
        place, values, wrong = found
        names = experiment.job.algorithm.summed
        with at(_names(experiment, tasks[[place // len(names)]])):
            raise _not_summable(names[place % len(names)], experiment, float(values[wrong]), wrong)


def _not_summable(name: str, experiment: Experiment, value: float, index: int) -> TrainingError:
    tensor = experiment.model.where(index)
    limit = f", and {VALUE_LIMIT:,.0f} is the limit" if math.isfinite(value) else ""
    return TrainingError(
        f"{name} is not usable: tensor {tensor} is {value:g}{limit}: training has diverged (a smaller training.lr may help)"
    )
