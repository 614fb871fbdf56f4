"""Clients whose devices lack memory are never online; nobody else notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpifl.clock.online import OnlineIndex
from mpifl.errors import InputError
from mpifl.kernels.permutation import permuted
from mpifl.population.memory import with_memory
from mpifl.population.population import Population, ever_online
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.demands import demands
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.labels import Labels, encoded
from mpifl.traces.trace import Trace, open_trace, write_trace
from tests.known import known

NOBODY = np.empty(0, np.int64)
MEMORY = [1000.0, 4000.0, 500.0, 8000.0, 2000.0]


@pytest.fixture
def population(make_trace: Callable[..., Trace]) -> Population:
    """40 clients without data on 5 devices of MEMORY, 3 patterns and 2 curves."""
    trace = make_trace([[(0, 40)], [(30, 90)], [(80, 100)]], 100, *[[1.0, 2, 3, 4, 5]] * 3)
    curves = Bandwidth(np.arange(3), np.zeros(2), np.ones(2), np.ones(2), np.full(2, 10.0))
    labels = Labels(patterns={"name": encoded(["a", "b", "c"])})
    trace = replace(trace, memory_mb=np.array(MEMORY), bandwidth=curves, labels=labels)
    return Population(40, None, trace, 3)


def drawn(population: Population, now: float) -> list[int]:
    return OnlineIndex(population).draw(7, now, 40, NOBODY).tolist()


@pytest.mark.parametrize("always", [False, True])
def test_clients_of_small_devices_are_never_drawn_and_all_others_as_before(
    population: Population, always: bool
) -> None:
    population = replace(population, always_online=always)
    limited = with_memory(population, 2000.0)
    clients = np.arange(40)
    enough = np.array(MEMORY)[population.devices(clients)] >= 2000
    assert limited.without_memory == 40 - enough.sum() > 0
    for now in (0.0, 35.0, 85.0, 95.0, 1e6 + 35):
        assert drawn(limited, now) == [c for c in drawn(population, now) if enough[c]]

    assert ever_online(limited.phones, 40) == enough.sum()
    assert limited.devices(clients).tolist() == population.devices(clients).tolist()
    if not always:
        names = population.labels(clients)["availability_name"]
        expected = np.where(enough, names, "")
        assert limited.labels(clients)["availability_name"].tolist() == expected.tolist()


def test_memory_that_nobody_lacks_changes_no_row(population: Population) -> None:
    limited = with_memory(population, 500.0)
    clients = np.arange(40)
    assert limited.without_memory == 0
    assert limited.patterns(clients).tolist() == population.patterns(clients).tolist()
    size, key = population.phones.size, population.phones.key
    curves = [permuted(client, size, key) % 2 for client in range(40)]
    assert known(limited.pinned).curve.tolist() == curves


def test_what_no_device_has_is_refused(population: Population) -> None:
    with pytest.raises(InputError, match=r"^population\.memory_mb: 9000 .*; allowed: up to 8000"):
        with_memory(population, 9000.0)
    unknown = replace(population, trace=replace(known(population.trace), memory_mb=np.empty(0)))
    with pytest.raises(InputError, match="the trace test has no memory_mb of its devices"):
        with_memory(unknown, 1.0)


def test_a_job_says_how_many_clients_it_leaves_out(population: Population, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.h5", known(population.trace))
    assert open_trace(tmp_path / "trace.h5").memory_mb.tolist() == MEMORY
    job = tmp_path / "job.yaml"
    job.write_text(
        "rounds: 1\nmodel: {name: sized, parameters: 9}\ntraining: {engine: none}\n"
        "data: {name: sizes, samples_per_client: {quantiles: {0: 1, 100: 9}}}\n"
        "selection: {name: uniform, participants: 2}\n"
        f"population: {{clients: 40, trace: {tmp_path}/trace.h5, memory_mb: 2000}}\n"
    )
    experiment, _ = check_job(str(job), [])
    lacking = experiment.population.without_memory
    assert f"{lacking} of 40 clients have devices of less than 2000 MB and are never online" in (
        demands(experiment)
    )
