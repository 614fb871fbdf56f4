"""The server's side of an algorithm: its first state, and the next state from a round's sums.

The arrays that an algorithm returns count in full, but for ``model``: of that only the trained
segment counts (``models/flat.py``). The averaged segment does not depend on the algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.algorithms.arrays import Arrays, read_only
from mpifl.algorithms.context import ServerContext
from mpifl.clock.timeline import Outcome
from mpifl.errors import Diverged, TrainingError
from mpifl.privacy.central import NoiseStream
from mpifl.rounds.clients.assignment import Products
from mpifl.rounds.clients.batch_norm import recomputed
from mpifl.rounds.clients.others import Kept
from mpifl.rounds.clients.public import public_inputs
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.experiment.ways import STEERED
from mpifl.rounds.plan.asking import releases_empty
from mpifl.rounds.plan.plan import Plan
from mpifl.rounds.plan.round_result import LAST
from mpifl.rounds.server.privatising import noise_of_round
from mpifl.rounds.server.round_means import (
    averages_of,
    combined,
    means_of,
    own_averages,
    slot_weights,
)
from mpifl.rounds.server.server_blocks import BLOCK, changes
from mpifl.seeds import Purpose, generator
from mpifl.training.device import CPU
from mpifl.training.recipe import recipe_of_round

OWN = frozenset({STEERED, LAST})
"""Arrays of the state that are not the algorithm's."""


def first_state(experiment: Experiment) -> Arrays:
    """Return the state before the first round. Raises TrainingError as ``checked`` does."""
    initial = experiment.initial
    random = generator(experiment.job.seed, Purpose.SERVER, 0)
    state = experiment.job.algorithm.start(initial.copy(), experiment.layout, random)
    state = {name: _array(values) for name, values in state.items()}
    if experiment.steered is not None:
        state[STEERED] = np.array([experiment.steered.first()], np.float32)
    if LAST in experiment.version_shapes:
        state[LAST] = np.zeros(experiment.version_shapes[LAST], np.float32)

    shapes = {name: values.shape for name, values in state.items()}
    for name, shape in experiment.served_shapes.items():
        if name not in state:
            raise TrainingError(f"the algorithm's start does not return {name}, which is received")
        if shapes[name] != shape:
            raise TrainingError(
                f"the server's {name} has the shape {shapes[name]}, declared is {shape}"
            )
    averages = initial[experiment.layout.averages]
    return checked(experiment, _with_averages(experiment, state, averages))


def checked(experiment: Experiment, state: Arrays) -> Arrays:
    """Return a state as float32 arrays. Raises Diverged when one is not finite."""
    state = {name: _array(values) for name, values in state.items()}
    for name, values in state.items():
        index = _not_finite(values.reshape(-1))
        if index is not None:
            place = f"entry {index}"
            if values.ndim and values.shape[-1] == experiment.layout.size:
                place = f"tensor {experiment.model.where(index % experiment.layout.size)}"
            raise Diverged(
                f"the server's {name} is {values.flat[index]} in {place} (a smaller server_lr may"
                " help)"
            )
    return state


def _not_finite(values: np.ndarray) -> int | None:
    """Return the index of the first of values (n,) that is not finite, or None."""
    for begin in range(0, len(values), BLOCK):
        finite = np.isfinite(values[begin : begin + BLOCK])
        if not finite.all():
            return begin + int(np.argmin(finite))
    return None


def next_state(
    experiment: Experiment,
    state: Arrays,
    plan: Plan,
    metrics: np.ndarray,
    round_sum: RoundSum,
    products: Products,
    stream: NoiseStream | None = None,
    others: Mapping[int, Kept] | None = None,
) -> Arrays:
    """Return the state after a round.

    Args:
        experiment: The job and its model.
        state: The state before the round.
        plan: The round; its tasks are those that were trained.
        metrics: Those of its tasks (structured METRIC, in any order). Clients whose training failed
            added nothing to ``round_sum``; the weights of the others are scaled up to the sum of
            all. All may have failed only where the server adds noise to nothing.
        round_sum: The sum of the updates.
        products: Their inner products, for algorithms that need them.
        stream: The noise of the server, of a job with privacy.
        others: What participants kept, for algorithms whose server reads it.

    Raises:
        TrainingError: When the algorithm's arrays are unusable or not finite.
    """
    job = experiment.job
    algorithm = job.algorithm
    tasks = plan.tasks[np.argsort(plan.tasks["client"])]
    rows = metrics[np.argsort(metrics["client"])]
    trained = rows["failed"] == 0

    weight = float(np.sort(tasks["weight"]).sum())
    came = float(np.sort(tasks["weight"][trained]).sum())
    share = weight / came if came and not trained.all() else 1.0
    received = slot_weights(experiment, tasks["weight"][trained], rows["slot"][trained])
    slots = received * share
    noise = noise_of_round(experiment, stream, state, tasks, plan.round_number)
    if noise.scale is not None:  # where a client failed, no other counts more
        scales = np.array([noise.scale])
    elif experiment.sums.slots == 1:
        scales = np.array([share])
    else:
        scales = np.divide(share, slots, out=np.zeros(len(slots)), where=slots > 0)

    asked = len(plan.timeline.participants) - plan.timeline.count(Outcome.PROBED)
    participants = int(trained.sum())
    if releases_empty(job):  # how many took part would tell whether one did
        asked = participants = job.clock.updates(job.selection.participants)
        weight, slots = 1.0, np.ones(1)

    context = ServerContext(
        state={name: read_only(state[name]) for name in state if name not in OWN},
        round=plan.round_number,
        asked=asked,
        participants=participants,
        clients=experiment.population.clients,
        lr=recipe_of_round(job, plan.round_number).lr,
        training=job.training,
        weight=weight,
        slots=slots,
        averages=averages_of(round_sum.averages, slots, share),
        products=products,
        layout=experiment.layout,
        public=partial(public_inputs, experiment, CPU),
        make_generator=partial(generator, experiment.job.seed, Purpose.SERVER, plan.round_number),
        others=others or {},
    )
    vectors = noise.on_sum(round_sum.vectors)

    def means(block: slice) -> Arrays:
        return noise.on_mean(means_of(experiment, vectors, scales, block))

    told = noise.on_told(rows["told"][trained])

    try:
        changed = changes(experiment, context, means)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise TrainingError(
            f"algorithm.name: {algorithm.name!r} changes the server's state in place; its server"
            " has to return new arrays"
        ) from error
    after = _with_changes(_steered(experiment, state, told), changed)
    if LAST in state:
        after[LAST] = combined(experiment, state[LAST], round_sum.vectors, received)
    if "model" not in changed:
        return checked(experiment, after)

    after = _smoothed(experiment, after, plan.round_number)
    own = state["model"][experiment.layout.averages]
    if experiment.sums.averaged:
        own = own_averages(own, round_sum.averages, share, weight)
    after = checked(experiment, _with_averages(experiment, after, own))
    if experiment.job.training.batch_norm == "recompute":
        after = checked(experiment, {**after, "model": recomputed(experiment, after["model"])})
    return after


def _smoothed(experiment: Experiment, state: Arrays, round_number: int) -> Arrays:
    """Return the state with the model that the aggregation rule makes of it."""
    rule = experiment.job.aggregation
    if not rule.smooths:
        return state
    random = generator(experiment.job.seed, Purpose.SMOOTHING, round_number)
    trained = experiment.layout.trained
    model = state["model"]
    finished = rule.finish(model[:trained], round_number, random)
    return {**state, "model": _array(np.concatenate([finished, model[trained:]]))}


def _steered(experiment: Experiment, state: Arrays, told: np.ndarray) -> Arrays:
    """Return the state with the number for the stage of ``exchange.up`` that the server steers.

    ``told`` is what clients told, in the order of the clients.
    """
    if experiment.steered is None:
        return state
    number = experiment.steered.learn(float(state[STEERED][0]), told)
    return {**state, STEERED: np.array([number], np.float32)}


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
    """Return float32 numbers that torch may share: a copy of what an algorithm got to read only."""
    array = np.ascontiguousarray(values, np.float32).reshape(np.shape(values))
    return array if array.flags.writeable else array.copy()
