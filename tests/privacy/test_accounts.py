"""What runs of a mechanism have spent: participations, trees, and published values."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import dp_accounting
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant

from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.privacy.accounting import gaussian_epsilon
from mpifl.privacy.banded_mf import BandedMf, band
from mpifl.privacy.bound import sensitivity
from mpifl.privacy.budget import Budgeted
from mpifl.privacy.dp_ftrl import DpFtrl
from mpifl.privacy.gaussian import Gaussian
from mpifl.privacy.local_laplace import LocalLaplace
from mpifl.privacy.nbafl import NbAfl
from mpifl.privacy.participations import Participations
from mpifl.privacy.privacy import Spent
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.state.extension import with_end

NO_JOB: Any = None


@pytest.mark.parametrize(("multiplier", "published"), [(1.13, 19.74), (8.83, 2.04)])
def test_a_tree_spends_what_the_paper_says_or_less(multiplier: float, published: float) -> None:
    # StackOverflow in arXiv 2103.00039: 1,600 rounds, each client in one of them, delta 1e-6.
    mechanism = DpFtrl(noise_multiplier=multiplier, delta=1e-6)
    found = mechanism.epsilon_of(Spent(1600, 1), NO_JOB, NO_JOB)
    assert 0.8 * published < found < published
    event = dp_accounting.SingleEpochTreeAggregationDpEvent(multiplier, 1600)
    accountant = RdpAccountant(
        neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_SPECIAL
    )
    # The noise is Gaussian, and so the account exact; Renyi DP is a bound.
    assert found < accountant.compose(event).get_epsilon(1e-6) < published


def squared(matrix: np.ndarray, rounds: list[int]) -> float:
    """By how much a client that takes part in these rounds moves what the noise is added to, squared."""
    return float(np.square(matrix[:, [t - 1 for t in rounds]].sum(axis=1)).sum())


def tree_matrix(rounds: int) -> np.ndarray:
    """The nodes of a binary tree over so many leaves that are complete, a row each."""
    rows = [
        [place * 2**level <= leaf < (place + 1) * 2**level for leaf in range(rounds)]
        for level in range(rounds.bit_length())
        for place in range(rounds >> level)
    ]
    return np.array(rows, float)


CALENDARS = ([1], [1, 2], [3, 9, 15], [1, 2, 3, 4, 5, 6, 7, 8], [4, 5, 12, 13], [16])


@pytest.mark.parametrize("rounds", CALENDARS)
def test_the_account_covers_what_the_matrix_says(rounds: list[int]) -> None:
    length, bands = 16, 4
    banded = sum(np.eye(length, k=-k) * band(bands)[k] for k in range(bands))
    for mechanism, matrix, each in (
        (Gaussian(noise_multiplier=1), np.eye(length), 1.0),
        (DpFtrl(noise_multiplier=1), tree_matrix(length), 5.0),
        (BandedMf(noise_multiplier=1, bands=bands), banded, float(np.square(band(bands)).sum())),
    ):
        participations = Participations()
        for t in rounds:
            participations.add(participations.after(np.array([7]), t, mechanism.joined))
        assert squared(matrix, rounds) <= each * participations.most + 1e-9
        if len(rounds) == 1 and rounds[0] == 1:
            assert squared(matrix, rounds) == pytest.approx(each)


def test_a_client_in_all_rounds_is_charged_what_the_matrix_says() -> None:
    length, bands = 16, 4
    always = list(range(1, length + 1))
    banded = sum(np.eye(length, k=-k) * band(bands)[k] for k in range(bands))
    trees = np.kron(np.eye(2), tree_matrix(8))
    for mechanism, matrix in (
        (DpFtrl(noise_multiplier=30, delta=1e-5, restart=8), trees),
        (BandedMf(noise_multiplier=30, delta=1e-5, bands=bands), banded),
    ):
        found = mechanism.epsilon_of(mechanism.worst(length), NO_JOB, NO_JOB)
        expected = gaussian_epsilon(30 / math.sqrt(squared(matrix, always)), 1e-5)
        assert found == pytest.approx(expected, rel=1e-9)


def test_participations_are_counted_by_client_and_kept() -> None:
    mechanism = DpFtrl(noise_multiplier=1, restart=3)
    found = Participations()
    for t, clients in enumerate(([5, 2], [5], [9], [5], [2, 9]), 1):
        found.add(found.after(np.array(clients), t, mechanism.joined))
    # Client 5: twice in the first tree, once in the second.
    assert found.rows == {5: (4, 1, 4), 2: (1, 1, 5), 9: (1, 1, 5)}
    assert found.most == 5
    again = Participations.of(found.table())
    assert (again.rows, again.most) == (found.rows, found.most)


def test_a_client_that_ends_twice_in_a_round_has_released_twice() -> None:
    """As where a late update does not count, and the client is asked again at once."""
    mechanism = LocalLaplace(noise_multiplier=1)
    found = Participations()
    found.add(found.after(np.array([4, 7, 4]), 1, mechanism.joined))
    assert found.rows == {4: (1, 1, 1), 7: (0, 1, 1)}
    assert found.most == 2


@pytest.mark.parametrize(
    ("mechanism", "allowed"),
    [
        (LocalLaplace(noise_multiplier=1), None),
        (LocalLaplace(noise_multiplier=1, participations=12), 12),
        (LocalLaplace(epsilon=1), 10),
        (LocalLaplace(epsilon=1, participations=12), 12),
        (LocalLaplace(epsilon=1, participations=2), 2),
        (NbAfl(epsilon=1, samples=3), None),
    ],
)
def test_a_budget_of_clients_is_for_so_many_participations_however_many_rounds_there_are(
    mechanism: Budgeted, allowed: int | None
) -> None:
    """With an asynchronous clock a client may be asked several times in a round."""
    assert mechanism.allowed(10) == allowed
    assert mechanism.worst(10).most == (allowed or 10)


@pytest.mark.parametrize(
    ("mechanism", "most"),
    [
        (Gaussian(noise_multiplier=1), 10),
        (Gaussian(noise_multiplier=1, participations=3), 3),
        (DpFtrl(noise_multiplier=1), 100),
        (DpFtrl(noise_multiplier=1, restart=4), 16 + 16 + 4),
        (DpFtrl(noise_multiplier=1, restart=4, participations=1), 3),
        (BandedMf(noise_multiplier=1, bands=3), 100),
        (BandedMf(noise_multiplier=1, bands=3, participations=9), 4),
        (LocalLaplace(noise_multiplier=1, participations=2), 2),
    ],
)
def test_the_worst_of_a_run_is_foretold(mechanism: Gaussian, most: int) -> None:
    assert mechanism.worst(10) == Spent(10, most)


def test_rounding_to_fixed_point_adds_half_a_unit_a_number() -> None:
    # The largest difference of two sums of one update and none, rounded to whole units of 2^-10.
    random = np.random.default_rng(1)
    update = random.standard_normal(1000)
    update *= 2.0 / np.linalg.norm(update)
    moved = np.linalg.norm(np.rint(0.1 * update * 2.0**10) * 2.0**-10)
    bound = sensitivity(2.0, 0.1, 1000, 10)
    assert moved <= bound
    assert bound == pytest.approx(0.2 + 0.5 * math.sqrt(1000) / 1024, rel=1e-6)


def test_the_noise_of_nbafl_is_that_of_its_theorem() -> None:
    nbafl = "privacy={name: nbafl, epsilon: 8, delta: 0.01, norm: 3, samples: 50, exposures: 2}"
    job = check_job("quickstart", ["rounds=40", nbafl])[0].job
    c = math.sqrt(2 * math.log(1.25 / 0.01))
    assert job.privacy.upload() == pytest.approx((3, c * 2 * (2 * 3 / 50) / 8))
    down = 2 * c * 3 * math.sqrt(40**2 - 2**2 * 10) / (50 * 10 * 8)
    assert job.privacy.after_mean(job) == pytest.approx(down)
    few = job.model_copy(update={"rounds": 6})
    assert job.privacy.after_mean(few) == 0
    with pytest.raises(InputError, match="the noise of the rounds so far would have been another"):
        with_end(Path(), few, job, complete=False)
    assert with_end(Path(), few, few.model_copy(update={"rounds": 5 + 1}), complete=False) == few


FIXED = ("rounds=40", "exchange.up=[{name: clip, norm: 1}]", "population.clients=300")


def budgeted(*changes: str) -> Job:
    return check_job("quickstart", [*FIXED, *changes])[0].job


@pytest.mark.parametrize(
    ("keys", "clients", "delta"),
    [("", 300, 300**-1.1), (", delta: 1.0e-9", 300, 1e-9), ("", 1, 2**-1.1)],
)
def test_the_noise_of_an_epsilon_is_no_more_and_no_less_than_it_needs(
    keys: str, clients: int, delta: float
) -> None:
    """The delta of 40 Gaussian releases in closed form (Balle and Wang 2018, theorem 8)."""
    few = ("selection.participants=1",) if clients == 1 else ()
    job = budgeted(
        f"privacy={{name: gaussian, epsilon: 4{keys}}}", f"population.clients={clients}", *few
    )
    mechanism = job.privacy
    assert isinstance(mechanism, Gaussian)
    assert mechanism.delta == pytest.approx(delta, rel=1e-12)
    shift = math.sqrt(40) / mechanism.multiplier
    normal = NormalDist().cdf
    found = normal(shift / 2 - 4 / shift) - math.exp(4) * normal(-shift / 2 - 4 / shift)
    assert found == pytest.approx(delta, rel=1e-3)


@pytest.mark.parametrize(("delta", "warned"), [(0.002, False), (0.005, True)])
def test_a_delta_of_one_client_or_more_is_called_little(delta: float, warned: bool) -> None:
    experiment = check_job(
        "quickstart", [*FIXED, f"privacy={{name: gaussian, noise_multiplier: 9, delta: {delta}}}"]
    )[0]
    lines = experiment.job.privacy.describe(experiment.job, experiment.population)
    assert any("is not below 1 / clients" in line for line in lines) == warned
