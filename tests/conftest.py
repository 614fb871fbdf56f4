"""Fixtures for all tests. Nothing here needs MPI, and nothing touches the user's cache."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from mpifl.datasets.dataset import Dataset, grouped
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Population
from mpifl.traces.trace import Trace
from tests.launching import mpirun_folder

# No deadline: a machine may be busy. In CI always the same examples: what a search finds by chance is found before.
settings.register_profile("mpifl", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.register_profile("nightly", deadline=None)  # tests/budget.py gives it more examples
settings.load_profile("mpifl")
torch.set_num_threads(1)  # as on a rank; small models train several times slower on more
SHARED = Path(__file__).parents[2] / "shared"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave tests/ranks to mpirun (tests/mpi/test_under_mpirun.py, CTest), which says --with-mpi."""
    return True if collection_path.name == "ranks" and not config.getoption("--with-mpi") else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests/mpi run: pytest-mpi takes the name of that folder for its marker, and skips what has it."""
    for item in items:
        if item.get_closest_marker("mpi") is None:
            item.own_markers[:] = [
                mark
                for mark in item.own_markers
                if mark.kwargs.get("reason") != "need --with-mpi option to run"
            ]


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at the thousands of tests and at the libraries again: a fifth of a worker's time."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which need not be there
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests go to a worker together; with another ``--dist`` than pyproject.toml's that one decides."""
    if config.getvalue("dist") != "loadscope":
        return None
    from tests.scheduling import FilesFirst

    return FilesFirst(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker more than there are cores: some tests wait, for a limit of time, for Slurm or for a terminal."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of the whole test run (MPIFL_CACHE)."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["MPIFL_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _mpirun_folder() -> Iterator[None]:
    """No mpirun here meets what an earlier test run has left; tests/e2e, where some are killed, has a folder for each test."""
    with mpirun_folder():
        yield


@pytest.fixture
def preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test starts with ``sys.executable`` has its libraries loaded already (tests/preloaded.py)."""
    from tests.launching import python_file

    monkeypatch.setattr("sys.executable", python_file())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data beside the project; tests that need it skip where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def make_trace() -> Callable[..., Trace]:
    """Trace of slots by pattern: make_trace([[(0, 10), (20, 30)], ...], period=100); one device a pattern by default."""

    def make(
        slots: list[list[tuple[float, float]]],
        period: float | list[float] = 100.0,
        compute_ms_per_sample: list[float] | None = None,
        download_kbps: list[float] | None = None,
        upload_kbps: list[float] | None = None,
        compute_watts: list[float] | None = None,
    ) -> Trace:
        n, devices = len(slots), len(compute_ms_per_sample or slots)
        flat = [slot for pattern in slots for slot in pattern]
        return Trace(
            name="test",
            source="test",
            licence="none",
            compute_ms_per_sample=np.array(compute_ms_per_sample or [10.0] * n, float),
            download_kbps=np.array(download_kbps or [1000.0] * n, float),
            upload_kbps=np.array(upload_kbps or [1000.0] * n, float),
            compute_watts=np.array(compute_watts or [2.0] * devices, float),
            download_joules_per_byte=np.full(devices, 1e-6),
            upload_joules_per_byte=np.full(devices, 3e-6),
            offsets=np.cumsum([0, *(len(pattern) for pattern in slots)]),
            start=np.array([start for start, _ in flat], float),
            end=np.array([end for _, end in flat], float),
            period=np.full(n, period, float)
            if isinstance(period, int | float)
            else np.array(period, float),
        )

    return make


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    """Small random data set with clients of the given sizes: make_dataset([5, 7, 3], shape=(4,), classes=3)."""

    def make(
        sizes: list[int], shape: tuple[int, ...] = (4,), classes: int = 3, seed: int = 0
    ) -> Dataset:
        random = np.random.default_rng(seed)
        count = sum(sizes)
        x = random.standard_normal((count, *shape)).astype(np.float32)
        y = random.integers(classes, size=count)
        train = grouped(x, y, np.repeat(np.arange(len(sizes)), sizes))
        test = grouped(x[:10], y[:10], np.zeros(len(y[:10]), int))
        return Dataset(
            name="test", outputs=classes, source="test", licence="none", train=train, test=test
        )

    return make


@pytest.fixture(scope="session")
def make_population() -> Callable[[Dataset, Trace], Population]:
    """Population whose client c has phone permuted(c) of the trace."""

    def make(
        dataset: Dataset, trace: Trace, clients: int | None = None, phone_key: int = 1
    ) -> Population:
        return Population(clients or dataset.train.clients, dataset, trace, phone_key)

    return make


@pytest.fixture(scope="session")
def population_of(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Callable[..., Population]:
    """population_of([phone, ...]): client c has the c-th phone; a phone is a dict of what is not as above."""

    def make(given: list[dict[str, Any]], period: float = 100.0, held: int = 10) -> Population:
        n = len(given)
        phones: list[Any] = [None] * n
        for client, phone in enumerate(given):
            phones[permuted(client, n, 1)] = {
                "slots": [(0, period)],
                "ms": 100,
                "down": 8,
                "up": 8,
            } | phone
        names = {"compute_ms_per_sample": "ms", "download_kbps": "down", "upload_kbps": "up"}
        speeds = {column: [phone[key] for phone in phones] for column, key in names.items()}
        trace = make_trace([phone["slots"] for phone in phones], period, **speeds)
        return make_population(make_dataset([held]), trace, clients=n)

    return make
