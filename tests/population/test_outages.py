"""Outages of regions: who is online is who was online before, less those whose region has an outage, second by second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mpifl.clock.kernels.online_patterns import may_be_asked
from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.job.outages import Outages
from mpifl.population import outages as module
from mpifl.population.outages import outages_of, region_of, with_outages
from mpifl.population.population import Population, ever_online
from mpifl.traces.trace import Trace

DAY = 86_400.0
CLIENTS = 40
EVERYONE = np.arange(CLIENTS)
NOBODY = np.empty(0, np.int64)
SEED = 9
OUTAGES = Outages(regions=3, days_between=0.2, hours=3, days=2)


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    """Patterns of a day, of 10,000 s (which does not divide two days), always online and never."""
    trace = make_trace(
        [[(0, 20_000), (30_000, 80_000)], [(500, 9_000)], [(0, DAY)], []],
        [DAY, 10_000.0, DAY, DAY],
        compute_ms_per_sample=[1, 2, 3, 4, 5],
        download_kbps=[1] * 5,
        upload_kbps=[1] * 5,
    )
    return make_population(make_dataset([5]), trace, clients=CLIENTS, phone_key=2)


def online(population: Population, now: float) -> np.ndarray:
    return may_be_asked(population.phones, EVERYONE, now, NOBODY)


@pytest.mark.parametrize("always", [False, True])
def test_who_is_online_is_who_was_and_has_no_outage(population: Population, always: bool) -> None:
    population = replace(population, always_online=always)
    changed = with_outages(population, OUTAGES, SEED)
    regions = region_of(EVERYONE, 3, SEED)
    assert set(regions) == {0, 1, 2}
    out = [outages_of(OUTAGES, SEED, region) for region in range(3)]
    borders = np.concatenate([cut.ravel() for cut in out])
    moments = np.concatenate([borders, np.nextafter(borders, 0), np.arange(100.5, 2 * DAY, 997)])
    for now in moments[moments < 2 * DAY].tolist():
        away = np.array([((out[r][0] <= now) & (now < out[r][1])).any() for r in regions])
        assert online(changed, now).tolist() == (online(population, now) & ~away).tolist(), now


def test_after_the_drawn_days_whole_periods_repeat(population: Population) -> None:
    changed = with_outages(population, OUTAGES, SEED)
    periods = {0: 2 * DAY, 1: 180_000.0, 2: 2 * DAY, 3: 2 * DAY}
    own = population.patterns(EVERYONE)
    for now in np.arange(1000.5, DAY, 3007).tolist():
        first = online(changed, now)
        for pattern, period in periods.items():
            later = online(changed, now + 3 * period)
            assert later[own == pattern].tolist() == first[own == pattern].tolist()


def test_clients_keep_their_devices_and_nobody_else_becomes_online(population: Population) -> None:
    changed = with_outages(population, OUTAGES, SEED)
    assert changed.devices(EVERYONE).tolist() == population.devices(EVERYONE).tolist()
    assert ever_online(changed.phones, CLIENTS) == ever_online(population.phones, CLIENTS)


def test_outages_are_exponential_with_the_given_means() -> None:
    long = Outages(regions=1, days_between=0.5, hours=6, days=3660)
    begin, end = outages_of(long, 1, 0)
    assert (end - begin).mean() == pytest.approx(6 * 3600, rel=0.05)
    assert (begin[1:] - end[:-1]).mean() == pytest.approx(DAY / 2, rel=0.05)
    assert (end - begin).std() == pytest.approx(6 * 3600, rel=0.1)


def test_more_slots_than_fit_into_memory_are_refused(
    population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SLOTS", 50)
    with pytest.raises(InputError, match=r"population.outages.days: 2 is not allowed"):
        with_outages(population, OUTAGES, SEED)


def test_ten_years_are_the_most() -> None:
    with pytest.raises(ValueError, match="3660"):
        Outages(regions=2, days=4000)


def test_keys_of_outages_without_regions_are_refused() -> None:
    with pytest.raises(ValueError, match="its keys need regions"):
        Outages(hours=3)
    assert Outages(hours=4).regions is None  # as job.yaml of a run has it
