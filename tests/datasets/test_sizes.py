"""Populations without data: how many samples each client has, drawn by its number."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mpifl.job.quantiles import Quantiles
from mpifl.kernels.permutation import permuted, uniforms
from mpifl.population.population import Population
from mpifl.traces.trace import Trace
from tests.asking import uniform

N = 20_000
KEYS = [0, 1, 2, 12345, 2**62, 2**63 - 1]
QUANTILES = {0: 1000, 5: 2000, 25: 3000, 50: 10_000, 75: 12_000, 95: 90_000, 100: 1_000_000}


def people(key: int, clients: int = N, trace: Trace | None = None, **sizes: Any) -> Population:
    return Population(clients, None, trace, key, sizes=Quantiles(**sizes))


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("key", KEYS)
def test_samples_follow_the_quantiles(scale: str, key: int) -> None:
    held = people(key, quantiles=QUANTILES, scale=scale).samples(np.arange(N))
    assert held.dtype == np.int64
    assert held.min() >= 1000
    assert held.max() <= 1_000_000
    for per_cent, value in QUANTILES.items():
        share = per_cent / 100
        # Four standard deviations of a share counted among 20,000: 0.014 at the median.
        assert abs((held <= value).mean() - share) <= 4 * np.sqrt(share * (1 - share) / N) + 1 / N
    # Between two quantiles: half of the clients from 50 to 75 % lie below the middle, of values or of logarithms.
    middle = np.sqrt(10_000 * 12_000) if scale == "log" else 11_000
    assert abs((held <= middle).mean() - 0.625) <= 4 * np.sqrt(0.625 * 0.375 / N)


def test_a_client_always_has_the_same_samples() -> None:
    population = people(7, quantiles=QUANTILES)
    held = population.samples(np.arange(N))
    order = np.random.default_rng(0).permutation(N)
    assert (population.samples(order) == held[order]).all()
    assert population.samples(np.array([123, 123, 4])).tolist() == [held[123], held[123], held[4]]
    assert (
        people(7, clients=10 * N, quantiles=QUANTILES).samples(np.arange(N)) == held
    ).all()  # however many others
    assert (people(8, quantiles=QUANTILES).samples(np.arange(N)) == held).mean() < 0.01


def test_nobody_has_less_than_one() -> None:
    held = people(1, quantiles={0: 0, 100: 3}).samples(np.arange(N))
    assert (held.min(), held.max()) == (1, 3)
    # Below 0.5 would be none; to 1.5 is one: half of all.
    assert abs((held == 1).mean() - 0.5) <= 4 * 0.5 / np.sqrt(N)


def test_a_distribution_of_one_value_is_that_value() -> None:
    assert set(people(1, quantiles={0: 42, 100: 42}).samples(np.arange(100)).tolist()) == {42}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "indices", [np.arange(100_000), np.arange(100_000) * 2**20, 10**12 - np.arange(100_000)]
)
def test_uniforms_are_spread_evenly(key: int, indices: np.ndarray) -> None:
    drawn = uniforms(indices, key)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert len(np.unique(drawn)) == len(drawn)
    # Nothing here is random: a chance of 1e-4 each is for 18 fixed cases.
    assert stats.chisquare(np.bincount((drawn * 1000).astype(int), minlength=1000)).pvalue > 1e-4
    pairs = (drawn[:-1] * 30).astype(int) * 30 + (drawn[1:] * 30).astype(int)
    assert (
        stats.chisquare(np.bincount(pairs, minlength=900)).pvalue > 1e-4
    )  # neighbours know nothing of each other


def test_uniforms_of_near_keys_are_unrelated() -> None:
    drawn = np.array([uniforms(np.arange(N), key) for key in range(10)])
    related = np.abs(np.corrcoef(drawn) - np.eye(10))
    assert related.max() < 5 / np.sqrt(N)


def test_samples_have_nothing_to_do_with_the_phone() -> None:
    for key in KEYS:
        phone = [permuted(client, N, key) for client in range(N)]
        assert abs(np.corrcoef(uniforms(np.arange(N), key), phone)[0, 1]) < 5 / np.sqrt(N)


def test_a_hundred_million_clients_cost_no_memory(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([[(0, 50)], [(20, 90)]])
    uniform(people(1, trace=trace, quantiles=QUANTILES), 30.0, 10, 1, 1)  # compiled
    tracemalloc.start()
    try:
        population = people(1, 100_000_000, trace, quantiles=QUANTILES)
        chosen = uniform(population, 30.0, 1000, 1, 1)
        held = population.samples(chosen)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(np.unique(chosen)) == len(held) == 1000
    assert chosen.max() > 90_000_000
    assert peak < 1_000_000


def test_nor_does_a_whole_round_of_theirs() -> None:
    # tracemalloc does not see what kernels allocate; the process's peak does. A byte a client would be 100 MB.
    code = """
import resource
from mpifl.rounds.plan.plan import make_plan
from mpifl.clock.timeline import ClockState
from mpifl.rounds.experiment.build_experiment import check_job
def peak(clients):
    timed, _ = check_job("reddit-timing", [f"population.clients={clients}", "selection.participants=1000"])
    plan = make_plan(timed.job, timed.population, timed.workload, 1, ClockState())
    assert len(plan.tasks) == 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
few = peak(100_000)
print(peak(100_000_000) - few)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # KiB
