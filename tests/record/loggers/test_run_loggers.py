"""All loggers of a run together: what they are told, and that none of them can end it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import PrivateAttr

from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.record.loggers.logger import Logger, Row, RunFacts
from mpifl.record.loggers.run_loggers import RunLoggers
from mpifl.record.run_file import run_file
from mpifl.record.tables import ROUND, row_type
from mpifl.rounds.experiment.job_checks import check_loggers
from tests.logged import logged

BASE = {"rounds": 7, "model": "logreg", "selection": {"name": "uniform", "participants": 2}}


class Notes(Logger):
    """Notes what it is told; raises in round ``fails``."""

    name: str = "notes"
    fails: int = 0

    _told: list[Any] = PrivateAttr(default_factory=list)

    def begin(self, run: RunFacts) -> None:
        self._told.append(("begin", [row["round"] for row in run.rows()]))

    def round(self, row: Row) -> None:
        if row["round"] == self.fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._told.append(row["round"])

    def end(self, summary: Mapping[str, Any] | None) -> None:
        self._told.append(("end", summary))


def told(folder: Path, *loggers: Notes, complete: bool = True) -> list[list[Any]]:
    """What loggers are told of a run of 7 rounds."""
    job = parse_job(BASE)
    record = job.record.model_copy(update={"loggers": loggers})
    with run_file(folder, job) as file:
        left = RunLoggers(job.model_copy(update={"record": record}), folder, file, None)
        for number in range(1, 8):
            row = np.zeros(1, row_type(ROUND))
            row["round"] = number
            left.round(row)
        left.end({"rounds": 7} if complete else None)
    return [logger._told for logger in loggers]


def test_a_logger_is_told_of_every_nth_round_and_of_the_last(tmp_path: Path) -> None:
    every, third = told(tmp_path, Notes(), Notes(every=3))
    assert every == [("begin", []), 1, 2, 3, 4, 5, 6, 7, ("end", {"rounds": 7})]
    assert third == [("begin", []), 3, 6, 7, ("end", {"rounds": 7})]


def test_a_run_that_is_stopped_has_had_no_last_round(tmp_path: Path) -> None:
    (third,) = told(tmp_path, Notes(every=3), complete=False)
    assert third == [("begin", []), 3, 6, ("end", None)]


def test_an_error_is_a_warning_once_and_the_others_go_on(tmp_path: Path) -> None:
    with logged() as said:
        other, failing = told(tmp_path, Notes(), Notes(fails=3))
    (line,) = said
    assert line.startswith("record.loggers.1: notes ends with OSError: ")
    assert "No space left on device" in line
    assert failing == [("begin", []), 1, 2]
    assert other[-2:] == [7, ("end", {"rounds": 7})]


def test_two_of_a_kind_are_refused() -> None:
    job = parse_job(BASE | {"record": {"loggers": ["csv", "json_lines", "csv"]}})
    with pytest.raises(InputError, match=r"record.loggers: 'csv' is there 2 times; allowed: once"):
        check_loggers(job)


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_library_is_refused_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda library: None)
    job = parse_job(BASE | {"record": {"loggers": ["csv", name]}})
    with pytest.raises(InputError) as caught:
        check_loggers(job)
    (line,) = caught.value.lines
    assert line.startswith(f"record.loggers.1: '{name}' needs {name}")
    assert line.endswith(f"pip install 'mpifl[{name}]'")
