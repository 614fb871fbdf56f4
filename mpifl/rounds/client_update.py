"""A group of participants: trained, and what they contribute checked and added to the running sum."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from mpifl.aggregation.device_sum import DeviceSum, Wrong, unsummable
from mpifl.aggregation.exact_sum import AVERAGE_LIMIT, FRACTION_BITS, VALUE_LIMIT, RoundSum, value_limit
from mpifl.algorithms.algorithm import ClientContext
from mpifl.errors import InputError, TrainingError, at
from mpifl.io.files import DiskFull
from mpifl.rounds.contract import is_plug_in
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.protocol import Versions
from mpifl.rounds.round_result import METRIC
from mpifl.rounds.worker import Worker
from mpifl.seeds import Purpose, number
from mpifl.training.device import CPU, seed_torch
from mpifl.training.participant import Engine, LocalResult, Participant

CONTRIBUTES = 1
"""Makes of the key of a client's noise in training that of its noise when it contributes."""

Found = TypeVar("Found")
Prepared = tuple[Participant, ClientContext]
Sent = dict[int, tuple[str, torch.Tensor, int]]
"""The tensors that a group was sent, each once: its name, and torch's count of how often it was written to."""


def contribute(place: Worker, tasks: np.ndarray, versions: Versions, part: RoundSum, oldest: int) -> np.ndarray:
    """Train a group of tasks (structured TASK, of one round) and add what they contribute to ``part``.

    Returns their metrics (structured METRIC). A client whose training fails ends the run, or is left out, as the job says. A
    plug-in that breaks its contract (``contract.py``) always ends it.
    """
    experiment, algorithm = place.experiment, place.experiment.job.algorithm
    sums = DeviceSum(part, [algorithm.bits(name) for name in algorithm.summed], place.device)
    metrics = np.zeros(len(tasks), METRIC)
    metrics["round"], metrics["client"], metrics["loss"], metrics["failed"] = tasks["round"], tasks["client"], np.nan, True
    ready: list[tuple[int, Prepared]] = []
    for index, task in enumerate(tasks):
        found = _or_drop(experiment, task, partial(_prepare, place, task, versions))
        if found is not None:
            ready.append((index, found))
    sent = {id(vector): (name, vector, vector._version) for _, (_, context) in ready for name, vector in context.sent.items()}
    own = tasks[[index for index, _ in ready]]
    results = _train(place, own, [participant for _, (participant, _) in ready])
    _check_sent(experiment, own, "adjust", sent)
    for (index, (_, context)), result in zip(ready, results, strict=True):
        task = tasks[index]
        if result and _or_drop(experiment, task, partial(_add, place, task, result, context, sums, oldest)):
            metrics["loss"][index], metrics["failed"][index] = result.loss, False
        _check_sent(experiment, tasks[[index]], "contribute", sent)
    _close(experiment, sums, own)
    with at(partial(_names, experiment, tasks)):
        place.contract.check()
    return metrics


def _check_sent(experiment: Experiment, tasks: np.ndarray, hook: str, sent: Sent) -> None:
    """Raise InputError when a tensor that the server sent is no longer of the version that it was.

    It is the rank's own copy of the server's, for all clients, and on rank 0 the server's.
    """
    for name, vector, version in sent.values():
        if vector._version != version:
            with at(partial(_names, experiment, tasks)):
                raise InputError(
                    f"algorithm.name: {experiment.job.algorithm.name!r} is not allowed as it is: its {hook} changes"
                    f" work.sent[{name!r}] in place, which other clients get too; change a copy (clone)"
                )


def _names(experiment: Experiment, tasks: np.ndarray) -> str:
    """Whose work it is, for people."""
    names = [experiment.population.client_name(int(client)) for client in tasks["client"]]
    return f"round {tasks['round'][0]}, client{'s' * (len(names) > 1)} {', '.join(map(str, names))}"


def _or_drop(experiment: Experiment, task: Any, context: Callable[[], Found]) -> Found | None:
    """What ``context`` gives; None for a client with which it fails, where the job says that the run goes on without it."""
    try:
        return context()
    except Exception as error:
        who = _names(experiment, np.array([task]))
        if experiment.job.runtime.on_client_error == "abort" or isinstance(error, DiskFull | InputError):
            with at(who):
                raise
        print(f"mpifl: {who}: dropped: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return None


def _prepare(place: Worker, task: Any, versions: Versions) -> Prepared:
    job, population = place.experiment.job, place.experiment.population
    client, round_number = int(task["client"]), int(task["round"])
    state_round = int(task["state_round"])
    kept = place.store.read(client, state_round) if state_round else None
    context = ClientContext(
        sent=place.version(int(task["base"]), versions),
        kept=None if kept is None else torch.from_numpy(kept).to(place.device),
        steps=int(task["steps"]),
        lr=job.training.lr,
    )
    participant = Participant(
        base=context.sent["model"],
        pool=place.samples,
        rows=population.data.train.rows(population.data_client(client)),
        steps=context.steps,
        order=partial(place.order, round_number, client),
        rng_seed=partial(number, job.seed, Purpose.DROPOUT, round_number, client),
        adjust=partial(job.algorithm.adjust, context=context) if job.algorithm.adjusts else None,
    )
    return participant, context


def _train(place: Worker, tasks: np.ndarray, group: list[Participant]) -> list[LocalResult | None]:
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


def _add(place: Worker, task: Any, result: LocalResult, context: ClientContext, sums: DeviceSum, oldest: int) -> bool:
    """Add what one participant contributes: the trained part of the algorithm's vectors, and the averaged buffers' values."""
    experiment, like = place.experiment, result.update.shape
    algorithm, trained, weight = experiment.job.algorithm, len(experiment.model.gradient), float(task["weight"])
    if is_plug_in(algorithm):  # which may draw noise: from torch's generators, that begin anew with every client
        seed = number(experiment.job.seed, Purpose.DROPOUT, int(task["round"]), int(task["client"]), CONTRIBUTES)
        for device in {CPU, place.device}:
            seed_torch(device, seed)
    contribution, keep = algorithm.contribute(result.update, context)
    vectors = {name: contribution[name] for name in algorithm.summed}
    for name, vector in vectors.items():  # all of them before any is added: a client that is dropped adds nothing
        if vector.shape != like:
            raise TrainingError(f"{name} is not usable: its shape is {tuple(vector.shape)}, the model's is {tuple(like)}")
    if experiment.job.runtime.on_client_error == "drop":
        for name, vector in vectors.items():
            _check_summable(experiment, name, vector[:trained], value_limit(algorithm.bits(name)))
        _check_summable(experiment, None, result.averages, AVERAGE_LIMIT)
    if algorithm.keeps_state != (keep is not None):
        returned = "no state" if keep is None else "state"
        declared = f"keeps_state is {algorithm.keeps_state}"
        raise TrainingError(f"algorithm.name: {algorithm.name!r} returned {returned} to keep, and {declared}")
    if keep is not None:
        place.store.write(int(task["client"]), int(task["round"]), keep.cpu().numpy(), oldest)
    for index, (name, vector) in enumerate(vectors.items()):
        _raise_wrong(experiment, sums.add(index, vector[:trained], weight, (int(task["client"]), name)))
    if experiment.model.averaged:
        _raise_wrong(experiment, sums.add_averages(result.averages, weight, (int(task["client"]), None)))
    return True


def _check_summable(experiment: Experiment, name: str | None, values: torch.Tensor, limit: float) -> None:
    wrong = unsummable(values, limit)
    if wrong is not None:
        raise _not_summable(experiment, name, float(values[wrong]), wrong)


def _raise_wrong(experiment: Experiment, wrong: Wrong | None) -> None:
    if wrong is not None:
        _, name = wrong.label
        raise _not_summable(experiment, name, wrong.value, wrong.place)


def _close(experiment: Experiment, sums: DeviceSum, tasks: np.ndarray) -> None:
    """Nothing more of ``tasks`` is added; what a GPU has found to be wrong is said now."""
    wrong = sums.close()
    if wrong is not None:
        client, _ = wrong.label
        with at(partial(_names, experiment, tasks[tasks["client"] == client])):
            _raise_wrong(experiment, wrong)


def _not_summable(experiment: Experiment, name: str | None, value: float, index: int) -> TrainingError:
    """The error of a value of a summed vector, or (no name) of an averaged buffer."""
    model, algorithm = experiment.model, experiment.job.algorithm
    if name is None:
        limit = f", and {AVERAGE_LIMIT:.2g} is the limit" if math.isfinite(value) else ""
        buffer = model.where(model.averages.start + index)
        return TrainingError(
            f"buffer {buffer} is not usable: it is {value:g} after training{limit}: features have to be finite and not so"
            " large (scale them in the data), or training has diverged (a smaller training.lr may help)"
        )
    bits, said = algorithm.bits(name), f"{name} is not usable: tensor {model.where(index)} is {value:g}"
    if not math.isfinite(value) or bits == FRACTION_BITS:
        limit = f", and {VALUE_LIMIT:,.0f} is the limit" if math.isfinite(value) else ""
        return TrainingError(f"{said}{limit}: training has diverged (a smaller training.lr may help)")
    return TrainingError(
        f"{said}, and {value_limit(bits):g} is the limit of the {bits} bits that {type(algorithm).__name__}.units gives it:"
        " fewer bits allow larger values"
    )
