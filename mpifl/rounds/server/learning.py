"""What the selection rule learns from a round that is over, on rank 0."""

from __future__ import annotations

import numpy as np

from mpifl.aggregation.exact_sum import VALUE_LIMIT
from mpifl.clock.latency import work_seconds
from mpifl.clock.timeline import Outcome
from mpifl.errors import TrainingError
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import Plan
from mpifl.rounds.plan.round_result import MEASURED, set_metrics
from mpifl.selection.feedback import FEEDBACK, Feedback, State

MOST_LOSS = {
    "loss": VALUE_LIMIT,
    "squared_loss": VALUE_LIMIT**2,
    "last_squared_loss": VALUE_LIMIT**2,
}
"""What a rule sees of a greater loss: of an infinite one it could compute nothing."""


def first_learned(experiment: TimingExperiment, saved: State | None) -> State:
    """Return the state of the selection rule, as a checkpoint has it; None: before the first round.

    Raises TrainingError when the rule starts with something else than arrays of numbers.
    """
    rule = experiment.job.selection
    if saved is None:
        saved = rule.start(experiment.population, experiment.workload)
    return _checked(rule.name, "start", saved)


def learned(experiment: TimingExperiment, state: State, plan: Plan, metrics: np.ndarray) -> State:
    """Return the state of the selection rule after a round.

    Args:
        experiment: The job and its population.
        state: The state before the round.
        plan: The round.
        metrics: Those of its tasks (structured METRIC, in the order of the clients); empty in a run
            that trains nothing.

    Raises:
        TrainingError: The rule returns something else than arrays of numbers, or other names than
            before.
    """
    rule = experiment.job.selection
    if not rule.learns:
        return state

    feedback = _feedback(experiment, plan, metrics)
    try:
        after = _checked(rule.name, "learn", rule.learn(state, feedback))
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise TrainingError(
            f"selection.name: {rule.name!r} changes its state in place; learn has to return new"
            " arrays"
        ) from error
    if after.keys() != state.keys():
        raise TrainingError(
            f"selection.name: {rule.name!r}: learn returns {', '.join(after) or 'nothing'}; start"
            f" returned {', '.join(state) or 'nothing'}"
        )
    return after


def _feedback(experiment: TimingExperiment, plan: Plan, metrics: np.ndarray) -> Feedback:
    timeline = plan.timeline
    ended = timeline.participants[timeline.participants["outcome"] != Outcome.PROBED]
    rows = np.zeros(len(ended), FEEDBACK)
    for name in set(FEEDBACK.names or ()).intersection(ended.dtype.names or ()):
        rows[name] = ended[name]
    rows["seconds"] = _own_seconds(experiment, ended)

    set_metrics(rows, metrics, MEASURED)
    for name, most in MOST_LOSS.items():
        rows[name] = np.minimum(rows[name], most)  # NaN stays

    return Feedback(
        round=plan.round_number,
        start_seconds=timeline.start_seconds,
        end_seconds=timeline.end_seconds,
        participants=rows,
        population=experiment.population,
        workload=experiment.workload,
    )


def _own_seconds(experiment: TimingExperiment, ended: np.ndarray) -> np.ndarray:
    """Return the seconds (n,) that a round takes participants (n,) undisturbed.

    Where rule or clock ordered other steps or a part of the upload, in proportion to the job's.
    """
    rule = experiment.job.selection
    orders_steps = rule.orders_steps or experiment.job.clock.orders_steps
    if not (orders_steps or rule.orders_uploads):
        return work_seconds(ended)
    held = experiment.population.samples(np.ascontiguousarray(ended["client"]))
    scaled = ended.copy()
    scaled["compute_seconds"] *= experiment.workload.steps(held) / ended["ordered"]
    scaled["upload_seconds"] /= ended["sent"]
    return work_seconds(scaled)


def _checked(rule: str, method: str, state: object) -> State:
    """Return a rule's state with read-only arrays. Raises TrainingError for a wrong one."""
    if not isinstance(state, dict):
        raise TrainingError(
            f"selection.name: {rule!r}: {method} returned {type(state).__name__}; expected a dict"
            " of arrays"
        )
    arrays = {}
    for name, values in state.items():
        array = np.array(values)
        if array.dtype.kind not in "biuf" or not isinstance(name, str):
            raise TrainingError(
                f"selection.name: {rule!r}: {method} returned {array.dtype} for {name!r}; expected"
                " numbers"
            )
        array.flags.writeable = False
        arrays[name] = array
    return arrays
