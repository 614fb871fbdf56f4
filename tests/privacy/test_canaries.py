"""A membership test on canaries: who sees the model cannot tell better than epsilon allows whether a client took part."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mpifl.aggregation.device_sum import DeviceSum
from mpifl.clock.timeline import PARTICIPANT, ClockState, Timeline
from mpifl.errors import TrainingError
from mpifl.privacy.accounting import gaussian_epsilon
from mpifl.rounds.clients.noise_shares import noise_share
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK, Plan
from mpifl.rounds.plan.round_result import METRIC
from mpifl.rounds.server.privatising import noise_stream, release_of
from mpifl.rounds.server.server_step import first_state, next_state
from mpifl.training.device import CPU
from tests.summed import no_sums

NORM = 0.5
CLIENTS = 10
TRIALS = 400
DELTA = 1e-3


def experiment_with(privacy: str) -> Experiment:
    clip = f"exchange.up={{name: clip, norm: {NORM}}}"
    shared = ["secure_aggregation=secagg"] if "distributed" in privacy else []
    found = check_job("quickstart", ["rounds=1", clip, f"privacy={{{privacy}}}", *shared])[0]
    assert isinstance(found, Experiment)
    return found


def plan_of_all() -> Plan:
    tasks = np.zeros(CLIENTS, TASK)
    tasks["round"], tasks["client"], tasks["weight"] = 1, np.arange(CLIENTS), 1 / CLIENTS
    timeline = Timeline(0.0, 1.0, 0.0, np.zeros(CLIENTS, PARTICIPANT))
    return Plan(1, tasks, timeline, ClockState(), 20.0)


def step(experiment: Experiment, seed: int, canary: np.ndarray | None) -> np.ndarray:
    """What a round adds to the model, where all clients but one send 0 and that one a canary, or 0 too."""
    job = experiment.job.model_copy(update={"seed": seed})
    experiment = replace(experiment, job=job)
    part = no_sums(experiment.sums)
    if canary is not None:
        DeviceSum(part, experiment.sums, CPU).add(0, 0, torch.from_numpy(canary), 0.1, (0, 0))
    for task in plan_of_all().tasks:
        share = noise_share(experiment, task)
        if share is not None:
            DeviceSum(part, experiment.sums, CPU).add_units(0, 0, share)
    metrics = np.zeros(CLIENTS, METRIC)
    metrics["client"] = np.arange(CLIENTS)
    state = first_state(experiment)
    state["model"] = np.zeros_like(state["model"])  # nothing is lost in float32 beside it
    after = next_state(
        experiment, state, plan_of_all(), metrics, part, {}, noise_stream(experiment)
    )
    return after["model"]


def found_epsilon(experiment: Experiment) -> float:
    """The largest epsilon that the outcomes of the best attack prove, over all thresholds."""
    size = experiment.sums.arrays[0].size
    canary = np.zeros(size, np.float32)
    canary[7] = NORM
    without = np.array([step(experiment, seed, None)[7] for seed in range(TRIALS)])
    there = np.array([step(experiment, 10_000 + seed, canary)[7] for seed in range(TRIALS)])
    proven = 0.0
    for threshold in np.quantile(np.concatenate([without, there]), np.linspace(0.1, 0.9, 17)):
        true = (there > threshold).mean()
        wrong = (without > threshold).mean()
        if wrong > 0.05 and true > DELTA:
            proven = max(proven, math.log((true - DELTA) / wrong))
    return proven


INDEPENDENT = [
    "name: gaussian, noise: continuous",
    "name: gaussian, noise: discrete",
    "name: distributed_gaussian, least_updates: 10",
]
"""Mechanisms whose noise in a round is independent of that in others."""


@pytest.mark.parametrize("mechanism", INDEPENDENT)
def test_a_canary_is_told_as_well_as_epsilon_allows_and_no_better(mechanism: str) -> None:
    experiment = experiment_with(f"{mechanism}, noise_multiplier: 1, delta: 0.001")
    allowed = gaussian_epsilon(1.0, DELTA)
    assert 0.25 * allowed < found_epsilon(experiment) < allowed


def test_without_noise_a_canary_is_always_told() -> None:
    experiment = experiment_with("name: gaussian, noise_multiplier: 0")
    canary = np.zeros(experiment.sums.arrays[0].size, np.float32)
    canary[7] = NORM
    assert step(experiment, 1, None)[7] == 0
    assert step(experiment, 1, canary)[7] == pytest.approx(NORM / CLIENTS)


def test_whole_units_that_64_bits_do_not_hold_are_refused() -> None:
    experiment = experiment_with("name: gaussian, noise_multiplier: 9e8, noise: discrete")
    with pytest.raises(TrainingError, match="too large to be drawn"):
        step(experiment, 1, None)


@pytest.mark.parametrize(
    "privacy",
    [*INDEPENDENT, "name: dp_ftrl", "name: banded_mf"],
)
def test_the_noise_on_the_mean_has_the_deviation_that_is_recorded(privacy: str) -> None:
    experiment = experiment_with(f"{privacy}, noise_multiplier: 3")
    release = release_of(experiment, first_state(experiment), plan_of_all().tasks)
    # 3 times the bound over 10 updates, and a little for rounding in units of 2^-40.
    assert release.deviation == pytest.approx(3 * NORM / 10, rel=1e-6)
    assert release.deviation > 3 * NORM / 10
    noise = np.concatenate([step(experiment, seed, None) for seed in range(4)])
    assert noise.std() == pytest.approx(release.deviation, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=4 * release.deviation / math.sqrt(len(noise)))
