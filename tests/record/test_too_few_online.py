"""That too few clients are online is said once a run, with the share and the key that changes it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mpifl.record.load import lacking, load_run
from mpifl.record.tables import ROUND, row_type
from mpifl.record.too_few_online import TooFewOnline
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.traces.trace import Trace, write_trace
from tests.launching import mpifl, python

DIGITS = {"name": "digits", "partition": {"name": "iid", "clients": 6}}


def row(number: int, online: float) -> np.ndarray:
    """Round ``number``, at whose start so many were online."""
    made = np.zeros(1, row_type(ROUND))
    made["round"], made["online"] = number, online
    return made


@pytest.fixture
def experiment_of(
    tmp_path: Path, make_trace: Callable[..., Trace]
) -> Callable[..., TimingExperiment]:
    """experiment_of(clock, participants, **sections): a job of 6 clients, of whom 2 are ever online."""
    write_trace(tmp_path / "trace.h5", make_trace([[(0, 100)], [(0, 100)], [], [], [], []]))

    def make(clock: object = "sync", participants: int = 2, **changed: object) -> TimingExperiment:
        job = {
            "rounds": 3,
            "data": DIGITS,
            "population": {"trace": str(tmp_path / "trace.h5")},
            "model": "logreg",
            "selection": {"name": "uniform", "participants": participants},
            "clock": clock,
            **changed,
        }
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        return check_job(str(tmp_path / "job.yaml"), [])[0]

    return make


def test_the_first_short_round_says_so_and_no_other(
    experiment_of: Callable[..., TimingExperiment],
) -> None:
    too_few = TooFewOnline.of(experiment_of("all"))
    assert too_few.asks == 2
    said = [too_few.add(row(number, online)) for number, online in enumerate([2, 4, 1, 0, 2, 1], 1)]
    assert said[:2] == [[], []]
    assert said[3:] == [[], [], []]
    (line,) = said[2]
    assert line == (
        "round 3: 1 of 6 clients (17%) are online, fewer than the 2 that a round asks: only those take part;"
        " a larger population.clients has more of them; clock.availability=always ignores availability"
    )
    (closing,) = too_few.closing()
    assert closing == (
        "in 3 of 6 rounds fewer clients were online than the 2 that a round asks: 0.7 of 6 on average;"
        " a larger population.clients has more of them; clock.availability=always ignores availability"
    )


def test_a_run_with_enough_clients_online_says_nothing(
    experiment_of: Callable[..., TimingExperiment],
) -> None:
    too_few = TooFewOnline.of(experiment_of("all"))
    assert [too_few.add(row(number, 2)) for number in range(1, 9)] == [[]] * 8
    assert too_few.closing() == []


@pytest.mark.parametrize(
    ("clock", "asks", "words"),
    [
        ({"mode": "sync", "overcommitment": 2.0}, 4, "the 4 that a round asks"),
        (
            {"mode": "sync", "overcommitment": 4.0},
            6,
            "the 8 that a round asks",
        ),  # there are no more than 6
        ({"mode": "deadline", "seconds": 5.0, "overcommitment": 1.5}, 3, "the 3 that a round asks"),
        ({"mode": "semisync", "concurrency": 5, "window_seconds": 5.0}, 5, "the 5 to be under way"),
        ({"mode": "buffered", "concurrency": 9}, 6, "the 9 to be under way"),
    ],
)
def test_what_is_enough_is_the_clock_s(
    experiment_of: Callable[..., TimingExperiment], clock: dict[str, Any], asks: int, words: str
) -> None:
    too_few = TooFewOnline.of(experiment_of(clock))
    assert (too_few.asks, too_few.words) == (asks, words)
    assert too_few.add(row(1, asks)) == []
    assert f"fewer than {words}" in too_few.add(row(2, asks - 1))[0]


def test_a_run_that_only_times_its_rounds_says_nothing(
    experiment_of: Callable[..., TimingExperiment],
) -> None:
    too_few = TooFewOnline.of(experiment_of("all", training={"engine": "none"}))
    assert too_few.add(row(1, 0)) == []
    assert too_few.closing() == []


def test_a_run_says_it_once_and_a_resumed_run_not_again(
    experiment_of: Callable[..., TimingExperiment], tmp_path: Path
) -> None:
    """Two of six clients take part in every round: it was not told. The resumed run still counts all rounds at its end."""
    experiment_of({"mode": "sync", "overcommitment": 3.0}, checkpoint={"every": 2})

    def run(*arguments: str) -> list[str]:
        line = [*python(), "-m", "mpifl.run", *arguments]
        done = subprocess.run(
            line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
        )
        return [line for line in done.stdout.splitlines() if "clock.availability=always" in line]

    first, last = run("job.yaml", "--out", "out")
    assert first.startswith(
        "round 1: 2 of 6 clients (33%) are online, fewer than the 6 that a round asks"
    )
    assert last.startswith(
        "in 3 of 3 rounds fewer clients were online than the 6 that a round asks: 2.0 of 6 on average"
    )
    (
        tmp_path / "out" / "summary.json"
    ).unlink()  # as if it had been ended after its last checkpoint
    assert run("--resume", "out") == [last]
    assert run("job.yaml", "clock.availability=always", "--out", "always") == []

    runs = [load_run(tmp_path / name) for name in ("always", "out")]
    assert [found.too_few for found in runs] == [[], [last]]
    assert lacking(runs) == [f"too few clients or updates in 1 run, such as {tmp_path}/out: {last}"]
    assert lacking(runs[:1]) == []
    comparison = mpifl(tmp_path, "compare", "out", "always")
    assert f"\ntoo few clients or updates in 1 run, such as out: {last}\n" in comparison.stdout


def test_a_sweep_says_it_of_its_runs(
    experiment_of: Callable[..., TimingExperiment], tmp_path: Path
) -> None:
    experiment_of({"mode": "sync", "overcommitment": 3.0})
    done = mpifl(tmp_path, "sweep", "job.yaml", "seed=1..2", "-n", "1", "--out", "s")
    wanted = "too few clients or updates in 2 runs, such as s/1_seed-1: in 3 of 3 rounds fewer"
    assert wanted in done.stdout
