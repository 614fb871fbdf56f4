"""The check of a sweep's runs finds what a check of each run alone finds, and opens each file once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpifl.datasets.dataset import Dataset, open_dataset, write_dataset
from mpifl.errors import InputError
from mpifl.job import dump_job, find_job, yaml_text
from mpifl.population.build import prepare
from mpifl.population.open_files import Files
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.sweeps.folder import check_runs
from mpifl.sweeps.index import make_index
from mpifl.traces.trace import open_trace

JOB = "quickstart"

CHANGES = [
    "training.lr=0.1",
    "data.partition.clients=50",
    "data.split={by: clients, test: 0.2}",
    "population.merge_gaps_seconds=600",
    "population.outages.regions=4",
    "clock.start=7200",
    "model=logreg",
    "algorithm=scaffold",
    "population.trace=charging",
    "seed=2",
]
"""Changes of which each alone gives a run that could begin; several change what a trace says."""

RIGHT = [*CHANGES, *reversed(CHANGES)]
"""So that each comes behind all others."""

WRONG = [
    "training.lr=-1",
    "training.lr=fast",
    "rounds=0",
    "data.name=none.h5",
    "data.partition.clients=5000",
    "population.trace=none",
    "population.memory_mb=1e9",
    "selection.participants=101",
    "model.hidden=[0]",
    "algorithm=none",
    "optimizer.lr=1",
]


def index_of(changes: list[str]) -> Any:
    """The index of a sweep whose runs have one change each."""
    index = make_index(JOB, [f"name={','.join(f'r{k}' for k in range(len(changes)))}"], None)
    pairs = zip(index.runs, changes, strict=True)
    runs = [run.model_copy(update={"overrides": (change,)}) for run, change in pairs]
    return index.model_copy(update={"runs": tuple(runs)})


def alone(change: str) -> str:
    """The job of a run that is checked by itself."""
    return dump_job(check_job(JOB, [change])[0].job)


def test_the_jobs_are_those_of_runs_that_are_checked_alone() -> None:
    found = [dump_job(job) for job in check_runs(index_of(RIGHT), whole=True)]
    assert found == [alone(change) for change in RIGHT]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_found_behind_right_ones(wrong: str) -> None:
    with pytest.raises(InputError) as by_itself:
        check_job(JOB, [wrong])
    with pytest.raises(InputError) as found:
        check_runs(index_of([*RIGHT, wrong, "seed=3"]), whole=True)
    first, *more = by_itself.value.lines
    assert found.value.lines[0].endswith(f"): {first}")
    assert found.value.lines[0].startswith(f"run {len(RIGHT) + 1} of {len(RIGHT) + 2} ")
    assert len(found.value.lines) == 1 + len(more)


def test_each_file_is_read_once_however_many_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[str] = Counter()
    parsed: Counter[str] = Counter()

    original = h5py.File.__init__

    def opening(self: h5py.File, path: Any, *arguments: Any, **options: Any) -> None:
        opened[str(path)] += isinstance(path, str | Path)  # else h5py's own, of an open file
        original(self, path, *arguments, **options)

    class Loader(yaml_text._UniqueKeys):
        def __init__(self, text: str) -> None:
            parsed[text] += 1
            super().__init__(text)

    for path in prepare(check_job(JOB, [])[0].job):
        assert path is not None
        os.utime(path, (0, 0))  # a file that has just been written is verified again each time
    check_job(JOB, [])
    monkeypatch.setattr(h5py.File, "__init__", opening)
    monkeypatch.setattr(yaml_text, "_UniqueKeys", Loader)
    job = find_job(JOB).read_text()

    counts = []
    for last in (3, 9):
        opened.clear()
        check_runs(make_index(JOB, [f"seed=1..{last}", "training.lr=0.1,0.2"], None), whole=True)
        counts.append(dict(+opened))
        assert parsed[job] <= 1
    assert counts[0] == counts[1] != {}


def test_what_the_runs_share_is_not_changed_by_a_check() -> None:
    files = Files.kept_open()
    for change in RIGHT:
        check_job(JOB, [change], files)

    data_path, trace_path = prepare(check_job(JOB, [])[0].job)
    assert data_path is not None
    for kept, anew in (
        (files.trace(trace_path), open_trace(trace_path)),
        (files.dataset(data_path).train, open_dataset(data_path).train),
    ):
        for key, value in vars(anew).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(getattr(kept, key), value), key


def test_a_file_of_the_user_is_shared_and_one_that_is_wrong_is_named(
    tmp_path: Path, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "a.h5", make_dataset([50, 70, 30]))
    write_dataset(tmp_path / "b.h5", make_dataset([50, 70, 30]))
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["train/y"][3] = 99
    settings = ["data.partition=natural", "selection.participants=2", "clock={mode: all}"]
    index = make_index(JOB, [*settings, "seed=1..3", "data.name=a.h5,b.h5"], None)
    with pytest.raises(InputError, match=r"run 2 of 6 .*b\.h5: train/y row 3: class 99"):
        check_runs(index, whole=True)
