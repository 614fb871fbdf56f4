"""Runs that train nothing: plans, and nothing but plans. No torch, no MPI."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpifl.clock.timeline import ClockState
from mpifl.errors import at
from mpifl.experiment import Timed
from mpifl.plan import make_plan
from mpifl.result import METRIC, RoundResult


def run_timing(experiment: Timed, ended_round: Callable[[RoundResult], None]) -> None:
    """All rounds of a job, timed; tells ``ended_round`` of each."""
    job, state = experiment.job, ClockState()
    for round_number in range(1, job.rounds + 1):
        with at(f"round {round_number}"):
            plan = make_plan(job, experiment.population, experiment.workload, round_number, state)
        ended_round(RoundResult(plan, np.empty(0, METRIC), None))
        state = plan.after
