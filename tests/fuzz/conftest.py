"""Fixtures of the fuzz tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpifl.traces.synthesis import read_recipe, synthesize
from mpifl.traces.trace import write_trace
from tests.fuzz.fuzz_outcome import write_tally

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device trace of few phones in HDF5."""
    path = tmp_path_factory.mktemp("trace") / "phones.h5"
    recipe = read_recipe(ROOT / "traces" / "phones.yaml")
    write_trace(path, synthesize(recipe.model_copy(update={"phones": 30})))
    return path


def pytest_sessionfinish() -> None:
    """Say what was tried, where a long run asks for it."""
    write_tally()
