"""Noise that clients add to a sum that is aggregated securely: how much, and its account."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.privacy.distributed_gaussian import DistributedGaussian
from mpifl.privacy.gaussian import Gaussian
from mpifl.privacy.privacy import Spent
from mpifl.rounds.clients.noise_shares import noise_share
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK

NORM = 0.5


def experiment_with(*changes: str, **keys: object) -> Experiment:
    """quickstart, whose rounds wait for 10 updates and ask 13 clients."""
    privacy = json.dumps({"name": "distributed_gaussian", "noise_multiplier": 2, **keys})
    clip = f"exchange.up={{name: clip, norm: {NORM}}}"
    job = [clip, "secure_aggregation=secagg", f"privacy={privacy}", *changes]
    found = check_job("quickstart", job)[0]
    assert isinstance(found, Experiment)
    return found


def share_of(experiment: Experiment, client: int, updates: int) -> np.ndarray:
    task = np.zeros(1, TASK)
    task["round"], task["client"], task["weight"] = 3, client, 1 / updates
    share = noise_share(experiment, task[0])
    assert share is not None
    return share


@pytest.mark.parametrize(
    ("keys", "shares"),
    [
        ({}, 8),  # 80 % of 10
        ({"least_updates": 10}, 10),
        ({"least_updates": 2}, 2),
        ({"least_updates": 9, "colluding": 4}, 5),
    ],
)
def test_so_many_shares_as_a_round_has_at_least_are_the_noise_that_was_asked_for(
    keys: dict[str, int], shares: int
) -> None:
    experiment = experiment_with(**keys)
    noise = sum(share_of(experiment, client, 10) for client in range(shares))
    bits = experiment.sums.arrays[0].bits
    # Of a mean of 10 one client moves a tenth of the bound.
    assert np.std(noise) * 2.0**-bits == pytest.approx(2 * NORM / 10, rel=0.04)
    alone = share_of(experiment, 0, 10)
    assert np.std(alone) * 2.0**-bits == pytest.approx(0.1 / math.sqrt(shares), rel=0.04)


def test_no_two_shares_are_alike_and_each_can_be_drawn_again() -> None:
    experiment = experiment_with()
    one, other = (share_of(experiment, client, 10) for client in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.07
    assert (one == share_of(experiment, 1, 10)).all()


@pytest.mark.parametrize("often", [1, 7])
def test_the_account_is_that_of_a_server_that_adds_whole_units(often: int) -> None:
    experiment = experiment_with(delta=1e-5)
    job, population = experiment.job, experiment.population
    server = Gaussian(noise_multiplier=2, noise="discrete", delta=1e-5)
    spent = Spent(9, often)
    epsilon = job.privacy.epsilon_of(spent, job, population)
    assert epsilon == server.epsilon_of(spent, job, population) > 0
    assert job.privacy.epsilon_of(Spent(3, 0), job, population) == 0


def test_noise_is_found_for_an_epsilon() -> None:
    experiment = experiment_with(noise_multiplier=None, epsilon=3, delta=1e-5)
    job, mechanism = experiment.job, experiment.job.privacy
    assert isinstance(mechanism, DistributedGaussian)
    spent = mechanism.worst(job.rounds)
    assert mechanism.epsilon_of(spent, job, experiment.population) == pytest.approx(3, rel=1e-4)


SECAGG = "secure_aggregation=secagg"
CLIP = "exchange.up=clip"
REFUSED: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "secure_aggregation.name: 'none' is not allowed with privacy.name distributed_gaussian": (
        {},
        (CLIP,),
    ),
    "privacy.name: 'distributed_gaussian' is not allowed without a bound": ({}, (SECAGG,)),
    "privacy.least_updates: 11 is not allowed: a round waits for 10; allowed: 2 to 10": (
        {"least_updates": 11},
        (SECAGG, CLIP),
    ),
    "privacy.colluding: 8 is not allowed: a round may have 8 updates": (
        {"colluding": 8},
        (SECAGG, CLIP),
    ),
    "privacy.weights: 'capped' is not allowed with privacy.name distributed_gaussian": (
        {"weights": "capped", "cap": 9},
        (SECAGG, CLIP),
    ),
    "exchange.up.0.name: 'adaptive_clip' is not allowed with privacy.name distributed": (
        {},
        (SECAGG, "exchange.up=adaptive_clip"),
    ),
    "too small to be drawn as whole units": (
        {"noise_multiplier": 0.1},
        (SECAGG, "exchange.up={name: clip, norm: 1e-11}"),
    ),
    "too large to be drawn as whole units": ({"noise_multiplier": 9e8}, (SECAGG, CLIP)),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_does_not_go_with_it_is_refused_in_a_line(said: str) -> None:
    keys, changes = REFUSED[said]
    privacy = json.dumps({"name": "distributed_gaussian", "noise_multiplier": 1} | keys)
    with pytest.raises(InputError) as caught:
        check_job("quickstart", [f"privacy={privacy}", *changes])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_check_says_how_many_updates_a_round_has_to_have() -> None:
    experiment = experiment_with(least_updates=9, colluding=2)
    lines = experiment.job.privacy.describe(experiment.job, experiment.population)
    assert lines[-1] == (
        "privacy: a round with fewer than 9 updates is void; the noise of 7 clients is enough"
    )
