"""The server's side of an algorithm: its first state, and the next state from a round's sums.

The arrays that an algorithm returns count in full, but for ``model``: of that only the trained
segment counts (``models/flat.py``). The averaged segment does not depend on the algorithm.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum, from_fixed, from_parts
from mpifl.algorithms.arrays import Arrays
from mpifl.algorithms.context import ServerContext
from mpifl.clock.timeline import Outcome
from mpifl.errors import TrainingError
from mpifl.rounds.batch_norm import recomputed
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.plan import Plan
from mpifl.seeds import Purpose, generator


def first_state(experiment: Experiment) -> Arrays:
    """Return the state before the first round. Raises TrainingError as ``checked`` does."""
    initial = experiment.initial
    random = generator(experiment.job.seed, Purpose.SERVER, 0)
    state = experiment.job.algorithm.start(initial.copy(), experiment.layout, random)
    state = {name: _array(values) for name, values in state.items()}

    shapes = {name: values.shape for name, values in state.items()}
    for name, shape in experiment.version_shapes.items():
        if name not in state:
            raise TrainingError(f"the algorithm's start does not return {name}, which is received")
        if shapes[name] != shape:
            raise TrainingError(
                f"the server's {name} has the shape {shapes[name]}, declared is {shape}"
            )
    averages = initial[experiment.layout.averages]
    return checked(experiment, _with_averages(experiment, state, averages))


def checked(experiment: Experiment, state: Arrays) -> Arrays:
    """Return a state as float32 arrays. Raises TrainingError when one is not finite."""
    state = {name: _array(values) for name, values in state.items()}
    for name, values in state.items():
        finite = np.isfinite(values)
        if not finite.all():
            index = int(np.argmin(finite))
            place = f"entry {index}"
            if values.ndim and values.shape[-1] == experiment.layout.size:
                place = f"tensor {experiment.model.where(index % experiment.layout.size)}"
            raise TrainingError(
                f"the server's {name} is {values.flat[index]} in {place} (a smaller server_lr may"
                " help)"
            )
    return state


def next_state(
    experiment: Experiment, state: Arrays, plan: Plan, metrics: np.ndarray, round_sum: RoundSum
) -> Arrays:
    """Return the state after a round.

    Args:
        experiment: The job and its model.
        state: The state before the round.
        plan: The round; its tasks are those that were trained.
        metrics: Those of its tasks (structured METRIC, in any order). Clients whose training failed
            added nothing to ``round_sum``; the weights of the others are scaled up to the sum of
            all. At least one did not fail.
        round_sum: The sum of the updates.

    Raises:
        TrainingError: When the algorithm's arrays are unusable or not finite.
    """
    algorithm = experiment.job.algorithm
    tasks = plan.tasks[np.argsort(plan.tasks["client"])]
    rows = metrics[np.argsort(metrics["client"])]
    trained = rows["failed"] == 0

    weight = float(np.sort(tasks["weight"]).sum())
    share = weight / float(np.sort(tasks["weight"][trained]).sum()) if not trained.all() else 1.0
    slots = _slot_weights(experiment, tasks["weight"][trained], rows["slot"][trained]) * share
    if experiment.sums.slots == 1:
        scales = np.array([share])
    else:
        scales = np.divide(share, slots, out=np.zeros(len(slots)), where=slots > 0)

    context = ServerContext(
        state={name: _read_only(values) for name, values in state.items()},
        round=plan.round_number,
        asked=len(plan.timeline.participants) - plan.timeline.count(Outcome.PROBED),
        participants=int(trained.sum()),
        clients=experiment.population.clients,
        weight=weight,
        slots=slots,
        averages=_averages(round_sum.averages, slots, share),
        layout=experiment.layout,
        make_generator=partial(generator, experiment.job.seed, Purpose.SERVER, plan.round_number),
    )
    means = _means(experiment, round_sum.vectors, scales)

    try:
        changed = algorithm.server(context, means)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise TrainingError(
            f"algorithm.name: {algorithm.name!r} changes the server's state in place; its server"
            " has to return new arrays"
        ) from error
    after = _with_changes(state, changed)
    if "model" not in changed:
        return checked(experiment, after)

    own = state["model"][experiment.layout.averages]
    if experiment.sums.averaged:
        own = _own_averages(own, round_sum.averages, share, weight)
    after = checked(experiment, _with_averages(experiment, after, own))
    if experiment.job.training.batch_norm == "recompute":
        after = checked(experiment, {**after, "model": recomputed(experiment, after["model"])})
    return after


def _slot_weights(experiment: Experiment, weights: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Return the sum of the participants' weights in each slot, added in a fixed order."""
    return np.array(
        [np.sort(weights[slots == slot]).sum() for slot in range(experiment.sums.slots)]
    )


def _means(experiment: Experiment, totals: np.ndarray, scales: np.ndarray) -> Arrays:
    """Return the weighted means of the uploaded arrays (float64) by name.

    ``totals`` are their sums; those of a slot are multiplied by its entry of ``scales``. With
    several slots the means have them as their first dimension.
    """
    sums = experiment.sums
    layout = experiment.layout
    means = {}
    for array in sums.arrays:
        rows = []
        for slot, scale in enumerate(scales.tolist()):
            values = from_fixed(totals[array.place(slot)], array.bits)
            if scale != 1.0:
                values *= scale
            if array.of_model and layout.averaged:
                parts = values.reshape(*array.shape[:-1], layout.trained)
                padding = np.zeros((*array.shape[:-1], layout.averaged))
                values = np.concatenate([parts, padding], axis=-1)
            rows.append(values.reshape(array.shape))
        means[array.name] = rows[0] if sums.slots == 1 else np.stack(rows)
    return means


def _averages(totals: np.ndarray, slots: np.ndarray, share: float) -> np.ndarray:
    """Return the mean of the averaged segment in each slot (slots, averaged), NaN where nobody is.

    ``slots`` are the weights of the slots, ``share`` by what the sums are to be multiplied.
    """
    means = np.full((len(slots), totals.shape[-1]), np.nan)
    for slot in np.flatnonzero(slots > 0):
        means[slot] = from_parts(totals[slot]) * (share / slots[slot])
    return means


def _own_averages(
    before: np.ndarray, totals: np.ndarray, share: float, weight: float
) -> np.ndarray:
    """Return the averaged segment of the server's model after a round.

    It is (1 - weight) times ``before`` plus the weighted sum of the participants' values, whose
    weights add up to ``weight``: below 1 where late updates count less. No weight is negative, and
    so no running variance becomes negative.
    """
    after = max(0.0, 1.0 - weight) * before.astype(np.float64)
    for total in totals:
        after = after + from_parts(total) * share
    return after.astype(np.float32)


def _with_averages(experiment: Experiment, state: Arrays, averages: np.ndarray) -> Arrays:
    """Return the state with the averaged segment of its model replaced, in a new array."""
    if not len(averages):
        return state
    trained = state["model"][: experiment.layout.trained]
    return {**state, "model": np.concatenate([trained, averages])}


def _with_changes(state: Arrays, changed: Arrays) -> Arrays:
    """Return the state with an algorithm's new arrays. Raises TrainingError for wrong ones."""
    after = dict(state)
    for name, values in changed.items():
        if name not in state:
            raise TrainingError(
                f"the algorithm's server returns {name}, which its start does not: the state has"
                f" {', '.join(state)}"
            )
        after[name] = _array(values)
        if after[name].shape != state[name].shape:
            raise TrainingError(
                f"the server's {name} has the shape {after[name].shape}, before it was"
                f" {state[name].shape}"
            )
    return after


def _array(values: np.ndarray | float) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).reshape(np.shape(values))


def _read_only(values: np.ndarray) -> np.ndarray:
    view = values.view()
    view.flags.writeable = False
    return view
