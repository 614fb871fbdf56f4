"""Run directories with a wrong value in one of their files: a line that names file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpifl.errors import InputError
from mpifl.record.load import Run, load_run
from mpifl.report.comparison import compare
from mpifl.report.page import page
from mpifl.report.report import make_report
from tests.report.made import made_run, random_rounds

SUMMARY: dict[str, Any] = {
    "ranks": 3,
    "wall_seconds": 2.5,
    "seconds": {"training": 1.0, "idle": 1.5},
    "executor_seconds": {"training": {"mean": 1.0, "most": 1.5}},
    "model_sha256": None,
    "final": {"accuracy": 0.5},
    "virtual_seconds": 40.0,
    "bytes_down": 10,
    "bytes_up": 10,
    "joules": 5.0,
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = made_run(tmp_path / "run", rounds=random_rounds(4))
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return load_run(folder)


def with_value(run: Run, file: str, key: str, value: Any) -> Run:
    """The run with another value at a dotted key of one of its files."""
    path = run.folder / file
    content = yaml.safe_load(path.read_text())
    section = content
    *outer, last = key.split(".")
    for name in outer:
        section = section[name]
    section[last] = value
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))
    return load_run(run.folder)


def test_a_run_that_is_whole_is_drawn_and_compared(run: Run) -> None:
    assert page(make_report([run]))
    assert compare([run], None, None).rows[0].complete == 1


COMPARED = (
    *(("summary.json", key) for key in ("final", "virtual_seconds", "bytes_up", "wall_seconds")),
    *(("environment.json", key) for key in ("content_sha256", "plug_ins")),
    *(("job.yaml", key) for key in ("seed", "rounds")),
)
DRAWN = (
    *(("summary.json", key) for key in ("ranks", "seconds", "executor_seconds")),
    *(("job.yaml", key) for key in ("population.clients", "data.partition.name")),
)


ANY_NAMES = ("final", "content_sha256")
"""Mappings that may have any names and values."""


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        (file, key, value)
        for file, key in (*COMPARED, *DRAWN)
        for value in (None, [1], {"a": [1]})
        if key not in ANY_NAMES or not isinstance(value, dict)
    ],
)
def test_a_value_of_another_kind_is_said_with_file_and_key(
    run: Run, file: str, key: str, value: Any
) -> None:
    damaged = with_value(run, file, key, value)
    with pytest.raises(InputError) as error:
        make_report([damaged])
    assert str(error.value).startswith(f"{run.folder}/{file}: {key}: ")
    if (file, key) in COMPARED:
        with pytest.raises(InputError):
            compare([load_run(run.folder)], None, None)


@pytest.mark.parametrize("clock", [None, "sync"])
def test_a_clock_that_is_no_section_leaves_out_the_charts_of_clients(run: Run, clock: Any) -> None:
    made = make_report([with_value(run, "job.yaml", "clock", clock)])
    assert "clock: missing, or no section" in str(made.left_out["data_sizes"])
    assert "accuracy" in made.charts


def test_a_command_that_is_no_list_is_shown_as_it_is(run: Run) -> None:
    assert page(make_report([with_value(run, "environment.json", "command", None)]))
