"""The examples do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.launching import run_job

PLAIN_FEDAVG = Path(__file__).parents[1] / "examples" / "plain_fedavg.py"


def test_fedavg_without_ranks_is_what_a_run_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An oracle in plain torch: it shares the plan with mpifl, and neither engine, sum, queue nor server."""
    spec = importlib.util.spec_from_file_location("plain_fedavg", PLAIN_FEDAVG)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.main("quickstart", ["rounds=4"])
    run = run_job(3, tmp_path, "quickstart", "rounds=4", "training.engine=loop")
    assert found == run.summary["model_sha256"]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_example_is_short() -> None:
    assert len(PLAIN_FEDAVG.read_text().splitlines()) <= 100
