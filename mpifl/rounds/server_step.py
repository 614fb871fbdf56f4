"""The server's side of an algorithm: its first state, and the next state from a round's sums.

The vectors that an algorithm returns count in full, but for its model: of that only the trained
segment counts (``models/flat.py``). The averaged and the fixed segment do not depend on the
algorithm.
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
    """Return the state before the first round. Raises TrainingError as ``checked`` does."""
    initial = experiment.initial
    untrained = initial[len(experiment.model.gradient) :]

    state = _vectors(experiment, experiment.job.algorithm.start(initial.copy()))
    return checked(experiment, _with_untrained(experiment, state, untrained))


def checked(experiment: Experiment, state: State) -> State:
    """Return a state as float32 vectors of the model's length.

    Raises TrainingError when one has another length or is not finite.
    """
    state = _vectors(experiment, state)
    fixed = experiment.model.averages.stop
    for name, vector in state.items():
        # A mask in the fixed segment may hold infinities.
        finite = np.isfinite(vector[:fixed] if name == "model" else vector)
        if not finite.all():
            index = int(np.argmin(finite))
            tensor = experiment.model.where(index)
            raise TrainingError(
                f"the server's {name} is {vector[index]} in tensor {tensor} (a smaller server_lr"
                " may help)"
            )
    return state


def next_state(
    experiment: Experiment,
    state: State,
    versions: Versions,
    tasks: np.ndarray,
    failed: np.ndarray,
    round_sum: RoundSum,
) -> State:
    """Return the state after a round.

    Args:
        experiment: The job and its model.
        state: The state before the round.
        versions: The model versions that the tasks trained from, by number.
        tasks: The round's tasks (structured TASK); at least one of them did not fail.
        failed: The clients (int64) whose training failed. They added nothing to ``round_sum``; the
            weights of the others are scaled up to the sum of all.
        round_sum: The sum of the updates.

    Raises:
        TrainingError: When the algorithm's vectors are unusable or not finite.
    """
    algorithm = experiment.job.algorithm
    clients = experiment.population.clients

    trained = tasks[~np.isin(tasks["client"], failed)]
    weight = float(np.sort(tasks["weight"]).sum())
    share = weight / float(np.sort(trained["weight"]).sum()) if len(trained) < len(tasks) else 1.0
    mean = _mean(experiment, round_sum.vectors, share)

    before = state["model"]
    if experiment.job.clock.mixes:
        own = slice(len(experiment.model.gradient))
        for task in trained:
            base = versions[int(task["base"])]["model"]
            mean["update"][own] += task["weight"] * (base[own].astype(np.float64) - before[own])

    # A plug-in may work in place: versions that clients still train from must not change.
    if is_plug_in(algorithm):
        state = {name: vector.copy() for name, vector in state.items()}
    after = _vectors(experiment, algorithm.step(state, mean, len(trained), clients))

    untrained = _untrained(experiment, before, round_sum, share, weight)
    return checked(experiment, _with_untrained(experiment, after, untrained))


def _mean(experiment: Experiment, vectors: np.ndarray, share: float) -> State:
    """Return the weighted means of the participants' vectors (float64) by name.

    ``vectors`` are their running sums, which are multiplied by ``share``. Entries of the model that
    are not trained are 0.
    """
    algorithm = experiment.job.algorithm
    untrained = len(experiment.model.weights) - len(experiment.model.gradient)

    mean = {}
    for name, total in zip(algorithm.summed, vectors, strict=True):
        values = from_fixed(total, algorithm.bits(name))
        if share != 1.0:
            values *= share
        mean[name] = np.concatenate([values, np.zeros(untrained)]) if untrained else values
    return mean


def _untrained(
    experiment: Experiment, before: np.ndarray, round_sum: RoundSum, share: float, weight: float
) -> np.ndarray:
    """Return the averaged and the fixed segment after a round.

    ``before`` (n,) is the model before it. The averaged one is (1 - weight) times its old value
    plus the weighted sum of the participants' values, whose weights add up to ``weight``. That is
    below 1 where late updates count less, and with FedAsync's mixing, which is such an average of
    two models. No weight is negative, and so no running variance becomes negative.
    """
    model = experiment.model
    after = before[model.averages.start :].copy()
    kept = max(0.0, 1.0 - weight) * before[model.averages].astype(np.float64)
    after[: model.averaged] = kept + from_parts(round_sum.averages) * share
    return after


def _with_untrained(experiment: Experiment, state: State, untrained: np.ndarray) -> State:
    """Return the state with the last entries of its model replaced, in a new array."""
    if not len(untrained):
        return state
    return {**state, "model": np.concatenate([state["model"][: -len(untrained)], untrained])}


def _vectors(experiment: Experiment, state: State) -> State:
    """Return an algorithm's state as float32 vectors.

    Raises TrainingError when a vector that is sent is missing or one has another shape than the
    model.
    """
    missing = set(experiment.job.algorithm.sent) - set(state)
    if missing:
        raise TrainingError(f"the algorithm sends {min(missing)}, which its state does not have")

    state = {name: np.ascontiguousarray(vector, np.float32) for name, vector in state.items()}
    for name, vector in state.items():
        if vector.shape != experiment.initial.shape:
            raise TrainingError(
                f"the server's {name} has the shape {vector.shape}, the model"
                f" {experiment.initial.shape}"
            )
    return state
