"""Runs that train nothing: they only make plans. Imports neither torch nor MPI."""

from __future__ import annotations

import numpy as np

from mpifl.errors import Interrupted, at
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import make_plan
from mpifl.rounds.plan.round_result import METRIC, RoundResult
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.rounds.server.learning import first_learned, learned
from mpifl.stopwatch import Stopwatch


def run_timing(experiment: TimingExperiment, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """Plan all rounds that are left, and call ``callbacks.ended_round`` for each.

    Raises Interrupted when ``callbacks.stop`` ends the run early; its checkpoint is being written
    then.
    """
    job = experiment.job
    state = callbacks.snapshot.clock
    rule_state = first_learned(experiment, callbacks.snapshot.learned)
    round_number = callbacks.snapshot.rounds_done
    while round_number < job.rounds and not callbacks.met():
        round_number += 1
        with at(f"round {round_number}"):
            plan = make_plan(
                job,
                experiment.population,
                experiment.workload,
                round_number,
                state,
                rule_state,
                watch,
            )
            rule_state = learned(experiment, rule_state, plan, np.empty(0, METRIC))
        with watch("writing"):
            callbacks.ended_round(RoundResult(plan, np.empty(0, METRIC), None))
        state = plan.after

        stopped = callbacks.stop()
        last = round_number == job.rounds or callbacks.met()
        if callbacks.checkpoints.due(round_number, last) or stopped:
            with watch("writing"):
                snapshot = Snapshot(rounds_done=round_number, clock=state, learned=rule_state)
                callbacks.checkpoints.save(snapshot)
        if stopped and not last:
            message = f"stopped after round {round_number}, with a checkpoint"
            raise Interrupted(message, round_number)
