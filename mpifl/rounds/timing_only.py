"""Runs that train nothing: plans, and nothing but plans. No torch, no MPI."""

from __future__ import annotations

import numpy as np

from mpifl.errors import Interrupted, at
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.experiment import TimingExperiment
from mpifl.rounds.plan import make_plan
from mpifl.rounds.round_result import METRIC, RoundResult
from mpifl.rounds.snapshot import Snapshot
from mpifl.stopwatch import Stopwatch


def run_timing(experiment: TimingExperiment, log: RunCallbacks, watch: Stopwatch) -> None:
    """All rounds of a job that are left, timed; tells ``log`` of each. Raises Interrupted when that says so, once saved."""
    job, state = experiment.job, log.snapshot.clock
    for round_number in range(log.snapshot.rounds_done + 1, job.rounds + 1):
        with at(f"round {round_number}"):
            plan = make_plan(
                job, experiment.population, experiment.workload, round_number, state, watch
            )
        with watch("writing"):
            log.ended_round(RoundResult(plan, np.empty(0, METRIC), None))
        state = plan.after
        stopped = log.stop()
        if log.checkpoints.due(round_number) or stopped:
            with watch("writing"):
                log.checkpoints.save(Snapshot(rounds_done=round_number, clock=state))
        if stopped and round_number < job.rounds:
            raise Interrupted(f"stopped after round {round_number}, with a checkpoint")
