"""The parts of the clock together: the same bits on any number of ranks and after a resume, and the same rounds when only timed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mpifl.clock.timeline import Outcome
from tests.known import known
from tests.launching import Finished, resume_runs, run_jobs

JOB = (
    "quickstart",
    "rounds=8",
    "checkpoint.every=2",
    "evaluation.every=4",
    "clock.battery={capacity_joules: 60, start_low: 0.3, charge_watts: 0.2}",
    "clock.latency.background={busy_share: 0.3, traffic_share: 0.3}",
    "clock.latency.update_seconds=0.5",
    "clock.latency.retry={broken_share: 0.2, resume: false}",
    "population.outages={regions: 4, days_between: 0.002, hours: 0.01, days: 1}",
)
CELLS = ("quickstart", "rounds=3", "clock.latency.cells={number: 3, up_kbps: 1000}")
ASYNC = (
    "quickstart",
    "rounds=6",
    "checkpoint.every=2",
    "evaluation.every=6",
    "training.engine=loop",
)
LOW = "clock.battery={capacity_joules: 60, start_low: 0.3, charge_watts: 0.2}"
SLOW_CELLS = "clock.latency.cells={number: 3, up_kbps: 1000}"
MODES = {
    "buffered, batteries": ("clock={mode: buffered, concurrency: 13}", LOW),
    "semisync, batteries": ("clock={mode: semisync, concurrency: 13, window_seconds: 3}", LOW),
    "buffered, cells": ("clock={mode: buffered, concurrency: 13}", SLOW_CELLS),
    "semisync, cells": ("clock={mode: semisync, concurrency: 13, window_seconds: 3}", SLOW_CELLS),
}
TABLES = ("rounds", "participants")


@pytest.mark.runs((1, 2, 3), JOB)
def test_the_clock_has_the_same_rounds_at_1_2_and_3_ranks(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in TABLES:
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table
    rounds = runs[0].table("rounds")
    assert rounds["dropped"].sum() > 0
    assert (rounds["battery"] < 0.9).all()


@pytest.mark.runs((1, 3), CELLS)
def test_cells_are_the_same_at_1_and_3_ranks(runs: list[Finished]) -> None:
    one, three = runs
    assert one.status == 0, one.stderr
    assert one.summary["model_sha256"] == three.summary["model_sha256"]
    for table in TABLES:
        assert one.table(table).tobytes() == three.table(table).tobytes(), table


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.runs((1, 3), lambda mode: (*ASYNC, *MODES[mode]))
@pytest.mark.runs((1,), lambda mode: (*ASYNC, *MODES[mode], "clock.costs=measured"))
def test_where_participants_begin_one_by_one_it_is_the_same_and_after_a_resume(
    runs: list[Finished], mode: str, tmp_path: Path
) -> None:
    """At 1 and 3 ranks; and with costs that are measured, and turn out as declared."""
    copy = Finished(0, "", "", tmp_path / "killed")
    shutil.copytree(runs[0].folder, copy.folder)
    resumed = resume_runs(3, [copy])[0]
    assert resumed.summary["resumed_from"] == 4
    for run in (*runs, resumed):
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in TABLES:
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table
    rows = runs[0].table("participants")
    if "batteries" in mode:
        assert np.count_nonzero(rows["outcome"] == Outcome.DROPPED)
        assert (rows["battery"] < 1).all()


@pytest.mark.runs((1,), JOB)
@pytest.mark.runs((1,), (*JOB, "training.engine=none"))
def test_a_run_that_only_times_has_the_same_rounds(runs: list[Finished]) -> None:
    trained, timed = runs
    for table, learned in (
        ("rounds", {"train_loss", "accuracy", "loss"}),
        ("participants", {"loss"}),
    ):
        rows = trained.table(table)
        same = timed.table(table)
        for name in set(known(rows.dtype.names)) & set(known(same.dtype.names)) - learned:
            if rows[name].dtype.kind != "f" or (rows[name] == rows[name]).all():
                assert rows[name].tobytes() == same[name].tobytes(), name


def test_the_clock_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    (undisturbed,) = run_jobs(3, [(tmp_path, JOB)])
    before = undisturbed.summary["model_sha256"]
    tables = [undisturbed.table(name).tobytes() for name in TABLES]
    (resumed,) = resume_runs(2, [undisturbed])
    assert resumed.status == 0, resumed.stderr
    resumed.__dict__.pop("summary", None)
    assert resumed.summary["resumed_from"] == 6
    assert resumed.summary["model_sha256"] == before
    assert [resumed.table(name).tobytes() for name in TABLES] == tables
