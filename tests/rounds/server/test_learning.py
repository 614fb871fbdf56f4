"""What a selection rule is told of a round."""

from __future__ import annotations

import numpy as np
import pytest

from mpifl.clock.timeline import ClockState
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.plan.plan import make_plan
from mpifl.rounds.plan.round_result import METRIC
from mpifl.rounds.server.learning import first_learned, learned


@pytest.mark.parametrize("rule", ["oort", "pyramidfl", "loss", "tifl"])
def test_rules_stay_finite_after_losses_that_are_not(rule: str) -> None:
    """As those of FedLC's attackers, who train with a label of which they have no sample."""
    experiment = check_job("quickstart", [f"selection={{name: {rule}, participants: 5}}"])[0]
    state = first_learned(experiment, None)
    for number in range(1, 9):
        plan = make_plan(
            experiment.job, experiment.population, experiment.workload, number, ClockState(), state
        )
        metrics = np.zeros(len(plan.tasks), METRIC)
        for name in ("round", "client"):
            metrics[name] = plan.tasks[name]
        for name in ("loss", "squared_loss", "last_squared_loss"):
            metrics[name] = np.inf
        state = learned(experiment, state, plan, metrics)

    for name in ("utility", "gradient", "history"):
        assert np.isfinite(state.get(name, 0)).all(), name
    if rule != "tifl":  # tiers that had nobody have an infinite loss by intent
        assert np.isfinite(state.get("loss", 0)).all()
