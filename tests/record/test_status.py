"""What a run tells while it goes on: what is in status.json, when, and what happens where it cannot be written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mpifl.errors import Interrupted
from mpifl.io.log import OUTPUT
from mpifl.record.status import MARK, Score, Status, parse_status, read_status
from mpifl.record.status_writer import Source, status_writer
from mpifl.record.summary import Totals
from mpifl.record.tables import CLIENT_SCORES, ROUND, SCORES, row_type
from mpifl.rounds.experiment.experiment import TimingExperiment

WITHIN_SECONDS = 10.0
"""On a busy machine; e2e/test_terminal.py says how soon a person sees it."""
EXPERIMENT = cast(
    TimingExperiment,
    SimpleNamespace(
        job=SimpleNamespace(name="mine", rounds=10), population=SimpleNamespace(clients=200)
    ),
)


class Rounds:
    """Totals of rounds that are over, told as the record of a run tells them."""

    def __init__(self) -> None:
        self.totals = Totals()

    def next(self, **values: Any) -> tuple[np.ndarray, Totals]:
        row = np.zeros(1, row_type(ROUND))
        for name in (*SCORES, *CLIENT_SCORES):
            row[name] = np.nan
        for name, value in values.items():
            row[name] = value
        self.totals.add(row)
        return row, self.totals


def source(folder: Path, worked: Callable[[], float] | None = None) -> Source:
    return Source(EXPERIMENT, folder, lambda: 3, worked, time.monotonic())


def until(folder: Path, holds: Callable[[Status], bool]) -> Status:
    """The first status in which something holds."""
    end = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < end:
        status = read_status(folder)
        if status is not None and holds(status):
            return status
        time.sleep(0.01)
    raise AssertionError(f"not in {WITHIN_SECONDS} s: {read_status(folder)}")


def test_numbers_are_those_of_the_rounds(tmp_path: Path) -> None:
    rounds = Rounds()
    with status_writer(source(tmp_path)) as writer:
        first = until(tmp_path, lambda status: True)
        assert (first.state, first.round, first.rounds, first.score) == ("starting", 0, 10, None)
        assert (first.name, first.folder, first.ranks) == ("mine", str(tmp_path), 3)
        assert first.pid == os.getpid()

        writer.tell(*rounds.next(round=1, asked=13, completed=10, cut=3, accuracy=0.5, loss=1.5))
        until(tmp_path, lambda status: status.round == 1)
        row = {"asked": 12, "completed": 9, "dropped": 3, "bytes_down": 700, "online": 150.0}
        writer.tell(*rounds.next(round=2, accuracy=0.25, loss=2.5, end_seconds=60.0, **row))
        status = until(tmp_path, lambda status: status.round == 2)

    assert status.state == "running"
    assert status.score == Score("accuracy", 0.25, 0.5, 1)
    assert (status.loss, status.virtual_seconds, status.online_share) == (2.5, 60.0, 0.75)
    assert (status.total["asked"], status.total["cut"], status.bytes_down) == (25, 3, 700)
    assert {name: count for name, count in status.last.items() if count} == {
        "asked": 12,
        "completed": 9,
        "dropped": 3,
    }
    assert status.executors_busy is None  # nothing is trained
    last = read_status(tmp_path)
    assert last is not None
    clocks: dict[str, Any] = {"written": 0, "wall_seconds": 0, "seconds_left": None}
    assert replace(last, **clocks) == replace(status, state="ended", **clocks)
    assert os.listdir(tmp_path) == ["status.json"]


def test_rates_are_those_of_the_time_between_rounds(tmp_path: Path) -> None:
    rounds = Rounds()
    begun = time.monotonic()
    with status_writer(source(tmp_path, lambda: 0.25 * (time.monotonic() - begun))) as writer:
        writer.tell(*rounds.next(round=1))
        assert until(tmp_path, lambda status: status.round == 1).rounds_per_second is None
        writer.tell(*rounds.next(round=5))
        told = time.monotonic()
        status = until(tmp_path, lambda status: status.round == 5)
        lasted = time.monotonic() - told
    assert status.executors_busy == pytest.approx(0.25, abs=0.05)
    assert status.rounds_per_second is not None
    assert status.seconds_left is not None
    whole = 5 / status.rounds_per_second
    assert whole - lasted < status.seconds_left <= whole
    assert 4 / (time.monotonic() - begun) < status.rounds_per_second


def test_of_a_part_of_the_run_before_there_are_numbers_and_no_rate(tmp_path: Path) -> None:
    with status_writer(source(tmp_path)) as writer:
        writer.tell(*Rounds().next(round=7, completed=5), old=True)
        status = until(tmp_path, lambda status: status.round == 7)
    assert (status.state, status.total["completed"], status.seconds_left) == ("starting", 5, None)


@pytest.mark.parametrize(
    ("error", "state", "after"),
    [
        (Interrupted("stopped"), "stopped", None),
        (Interrupted("stopped after round 8", 8), "stopped", 8),
        (OSError("gone"), "failed", None),
    ],
)
def test_the_last_state_is_how_it_ended(
    tmp_path: Path, error: Exception, state: str, after: int | None
) -> None:
    with pytest.raises(type(error)), status_writer(source(tmp_path)):
        raise error
    last = read_status(tmp_path)
    assert last is not None
    assert (last.state, last.stopped_after) == (state, after)


def test_what_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with status_writer(source(gone)) as writer:
        writer.tell(*Rounds().next(round=1))
    assert read_status(gone) is None


def test_a_file_system_that_hangs_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / ".status.json.new")  # opening it for writing waits for a reader
    monkeypatch.setattr("mpifl.record.status_writer.LAST_WORD_SECONDS", 0.1)
    begun = time.monotonic()
    with status_writer(source(tmp_path)) as writer:
        for number in range(1, 100):
            writer.tell(*Rounds().next(round=number))
    assert time.monotonic() - begun < WITHIN_SECONDS  # it hung for ever


def test_lines_come_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout", open(os.dup(1), "w"))  # noqa: SIM115
    for asked, lines in [("lines", 0), ("quiet", 0), ("live", 2), ("live+lines", 2), ("what", 0)]:
        monkeypatch.setenv(OUTPUT, asked)
        with status_writer(source(tmp_path)):
            until(tmp_path, lambda status: status.state == "starting")
        said = capfd.readouterr().out.split("\n")[:-1]  # splitlines would split at MARK too
        assert len(said) == lines, asked
        assert all(line.startswith(MARK) and parse_status(line[1:]) for line in said)


def test_only_a_whole_status_is_one(tmp_path: Path) -> None:
    with status_writer(source(tmp_path)):
        pass
    status = read_status(tmp_path)
    assert status is not None
    text = status.json()
    assert parse_status(text) == status
    assert parse_status(json.dumps({**asdict(status), "new": 1})) == status  # of a later version
    for damaged in (
        "",
        text[:-1],
        "[]",
        json.dumps({**asdict(status), "round": "5"}),
        json.dumps({**asdict(status), "state": "odd"}),
        json.dumps({**asdict(status), "wall_seconds": float("inf")}),
    ):
        assert parse_status(damaged) is None
