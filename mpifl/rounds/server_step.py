"""The server's side of an algorithm: the state to begin with, and the next state from a round's sums.

What an algorithm returns counts for the trained segment of the model (``models/flat.py``) and for its
other vectors. The averaged and the fixed segment of the model are the same whatever the algorithm.
"""

from __future__ import annotations

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum, from_fixed, from_parts
from mpifl.algorithms.algorithm import State
from mpifl.errors import TrainingError
from mpifl.rounds.contract import is_plug_in
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.protocol import Versions


def first_state(experiment: Experiment) -> State:
    """The state before the first round, checked as ``checked`` does."""
    initial = experiment.initial
    state = _vectors(experiment, experiment.job.algorithm.start(initial.copy()))
    return checked(
        experiment, _with_untrained(experiment, state, initial[len(experiment.model.gradient) :])
    )


def checked(experiment: Experiment, state: State) -> State:
    """A state as float32 vectors of the model's length. Raises TrainingError when they are not that, or not finite."""
    state = _vectors(experiment, state)
    fixed = experiment.model.averages.stop
    for name, vector in state.items():
        finite = np.isfinite(
            vector[:fixed] if name == "model" else vector
        )  # a frozen mask may hold infinities
        if not finite.all():
            index = int(np.argmin(finite))
            tensor = experiment.model.where(index)
            raise TrainingError(
                f"the server's {name} is {vector[index]} in tensor {tensor} (a smaller server_lr may help)"
            )
    return state


def next_state(
    experiment: Experiment,
    state: State,
    versions: Versions,
    tasks: np.ndarray,
    failed: np.ndarray,
    part: RoundSum,
) -> State:
    """The state after a round of ``tasks`` (structured TASK), one or more of which did not fail.

    Clients that ``failed`` added nothing to ``part``; the weights of the others then count for all. ``versions`` are the models
    that the tasks trained from.
    """
    algorithm, clients = experiment.job.algorithm, experiment.population.clients
    trained = tasks[~np.isin(tasks["client"], failed)]
    weight = float(np.sort(tasks["weight"]).sum())
    share = weight / float(np.sort(trained["weight"]).sum()) if len(trained) < len(tasks) else 1.0
    mean = _mean(experiment, part.vectors, share)
    before = state["model"]
    if experiment.job.clock.mixes:
        own = slice(len(experiment.model.gradient))
        for task in trained:
            base = versions[int(task["base"])]["model"]
            mean["update"][own] += task["weight"] * (base[own].astype(np.float64) - before[own])
    if is_plug_in(
        algorithm
    ):  # which may work in place: versions that clients still train from stay as they are
        state = {name: vector.copy() for name, vector in state.items()}
    after = _vectors(experiment, algorithm.step(state, mean, len(trained), clients))
    return checked(
        experiment,
        _with_untrained(experiment, after, _untrained(experiment, before, part, share, weight)),
    )


def _mean(experiment: Experiment, vectors: np.ndarray, share: float) -> State:
    """What the participants' vectors add up to (float64), by name; 0 where the model is not trained."""
    algorithm, mean = experiment.job.algorithm, {}
    untrained = len(experiment.model.weights) - len(experiment.model.gradient)
    for name, total in zip(algorithm.summed, vectors, strict=True):
        values = from_fixed(total, algorithm.bits(name))
        if share != 1.0:
            values *= share
        mean[name] = np.concatenate([values, np.zeros(untrained)]) if untrained else values
    return mean


def _untrained(
    experiment: Experiment, before: np.ndarray, part: RoundSum, share: float, weight: float
) -> np.ndarray:
    """The averaged and the fixed segment after a round; ``before`` (n,) is the model before it.

    The averaged one is (1 - weight) times what it was, and what participants sent, whose weights add up to ``weight``. That
    is below 1 where late updates count less, and with FedAsync's mixing, whose average of two models this is. No weight is
    negative, and so no running variance becomes negative.
    """
    model = experiment.model
    after = before[model.averages.start :].copy()
    kept = max(0.0, 1.0 - weight) * before[model.averages].astype(np.float64)
    after[: model.averaged] = kept + from_parts(part.averages) * share
    return after


def _with_untrained(experiment: Experiment, state: State, untrained: np.ndarray) -> State:
    """The state with these entries behind the trained ones of its model; the algorithm's own array is left as it is."""
    if not len(untrained):
        return state
    return {**state, "model": np.concatenate([state["model"][: -len(untrained)], untrained])}


def _vectors(experiment: Experiment, state: State) -> State:
    """What an algorithm returned as float32 vectors of the model's length. Raises TrainingError for others."""
    missing = set(experiment.job.algorithm.sent) - set(state)
    if missing:
        raise TrainingError(f"the algorithm sends {missing.pop()}, which its state does not have")
    state = {name: np.ascontiguousarray(vector, np.float32) for name, vector in state.items()}
    for name, vector in state.items():
        if vector.shape != experiment.initial.shape:
            raise TrainingError(
                f"the server's {name} has the shape {vector.shape}, the model {experiment.initial.shape}"
            )
    return state
