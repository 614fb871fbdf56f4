"""Runs that end before their last round, and runs that go on after it: the bits of those that had this end from the beginning."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mpifl.state.resume import begin
from tests.launching import COSTS, LEARNED, Finished, mpirun, run_job, run_jobs, take_up

LONG = 24
SYNC = ("quickstart", "training.engine=loop", "checkpoint.every=3")
NBAFL = "privacy={name: nbafl, epsilon: 50, samples: 3, exposures: 1}"
BUFFERED = ("clock={mode: buffered, concurrency: 20}", "selection.participants=5")
DITTO = ("algorithm=ditto", "data.split={by: samples, test: 0.3}", "evaluation.personal=true")
GOSSIP = (
    *("protocol=gossip", "data.partition.clients=6", "selection.participants=null"),
    *("clock={mode: all, availability: always}", "training.epochs=1", "evaluation.every=5"),
)
TIMING = ("reddit-timing", "checkpoint.every=3", "selection.participants=200")
JOBS = {
    "target": (*SYNC,),
    "patience": (*SYNC, "algorithm=scaffold", "evaluation.every=2"),
    "buffered": (*SYNC, *BUFFERED, "evaluation.every=3"),
    "learned": (*SYNC, *LEARNED),
    "measured costs": (*SYNC, *COSTS),
    "clients": (*SYNC, *DITTO),
    "hours": (*SYNC, *BUFFERED, "evaluation.every=4"),
    "protocol": (*SYNC, *GOSSIP),
    "timing": TIMING,
}
STOPS = {
    "target": "{metric: accuracy, at: 0.58}",
    "patience": "{metric: loss, patience: 2, least: 0.3}",
    "buffered": "{metric: accuracy, at: 0.45, patience: 3}",
    "learned": "{metric: accuracy, patience: 2}",
    "measured costs": "{metric: loss, at: 1.6}",
    "clients": "{metric: worst_decile_accuracy, patience: 4}",
    "hours": "{hours: 0.005}",
    "protocol": "{hours: 0.21}",
    "timing": "{hours: 1.5}",
}
TABLES = ("rounds", "participants", "clients", "messages")


def made(ranks: int, folder: Path, jobs: dict[str, tuple[str, ...]]) -> dict[str, Finished]:
    done = run_jobs(ranks, [(folder, job) for job in jobs.values()])
    assert [run.status for run in done] == [0] * len(jobs), "".join(run.stderr for run in done)
    return dict(zip(jobs, done, strict=True))


def assert_same(found: Finished, wanted: Finished, name: str) -> None:
    assert found.summary["model_sha256"] == wanted.summary["model_sha256"], name
    assert found.summary["final"] == wanted.summary["final"], name
    for table in TABLES:
        assert found.table(table).tobytes() == wanted.table(table).tobytes(), (name, table)


def copied(runs: dict[str, Finished], folder: Path) -> dict[str, Finished]:
    folder.mkdir()
    copies = {}
    for number, (name, run) in enumerate(runs.items()):
        copy = Path(shutil.copytree(run.folder, folder / f"out-{number}"))
        copies[name] = Finished(0, "", "", copy)
    return copies


def last_round(name: str, rounds: np.ndarray) -> tuple[int, str]:
    """Where a run that has all these rounds would have ended, and by what: docs/job.md, said again in another way."""
    told = STOPS[name]
    if "hours" in told:
        limit = 3600 * float(told.split(":")[1].strip(" }"))
        return next(int(row["round"]) for row in rounds if row["end_seconds"] >= limit), "hours"
    words = dict(pair.split(": ") for pair in told.strip("{}").split(", "))
    metric = words["metric"]
    rising = metric.endswith("accuracy")
    tested = rounds[np.isfinite(rounds[metric])]
    history: list[float] = []
    for row in tested:
        history.append(float(row[metric]) if rising else -float(row[metric]))
        goal = float(words.get("at", "inf" if rising else "-inf"))
        if history[-1] >= (goal if rising else -goal):
            return int(row["round"]), "at"
        best, since = history[0], 0
        for score in history[1:]:
            since += 1
            if score - best > float(words.get("least", 0)):
                best, since = score, 0
        if since >= int(words.get("patience", 10**6)):
            return int(row["round"]), "patience"
    raise AssertionError(f"{name}: it never ends")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """The jobs with no end but their last round."""
    jobs = {name: (*job, f"rounds={LONG}") for name, job in JOBS.items()}
    return made(2, tmp_path_factory.mktemp("whole"), jobs)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """The jobs with a ``stop``, on three ranks."""
    jobs = {name: (*job, f"rounds={LONG}", f"stop={STOPS[name]}") for name, job in JOBS.items()}
    return made(3, tmp_path_factory.mktemp("stopped"), jobs)


def test_a_run_ends_after_the_first_round_that_meets_its_stop(
    whole: dict[str, Finished], stopped: dict[str, Finished], tmp_path: Path
) -> None:
    ends = {name: last_round(name, run.table("rounds")) for name, run in whole.items()}
    assert all(3 < number < LONG for number, _ in ends.values()), ends
    short = made(1, tmp_path, {name: (*JOBS[name], f"rounds={ends[name][0]}") for name in JOBS})
    for name, run in stopped.items():
        assert (run.summary["rounds"], run.summary["stopped_by"]) == (
            ends[name][0],
            f"stop.{ends[name][1]}",
        )
        assert_same(run, short[name], name)
        assert short[name].summary["stopped_by"] is None


def test_taken_up_before_its_end_a_run_ends_where_it_would_have(
    stopped: dict[str, Finished], tmp_path: Path
) -> None:
    again = copied(stopped, tmp_path / "again")
    for run in again.values():
        (run.folder / "summary.json").unlink()
        max((run.folder / "checkpoint").glob("round-*.h5")).unlink()
    for name, run in zip(again, take_up(1, list(again.values())), strict=True):
        assert run.status == 0, run.stderr
        assert run.summary["resumed_from"] in range(1, run.summary["rounds"])
        assert_same(run, stopped[name], name)
        assert run.summary["stopped_by"] == stopped[name].summary["stopped_by"]


def test_a_stopped_run_goes_on_without_its_stop(
    whole: dict[str, Finished], stopped: dict[str, Finished], tmp_path: Path
) -> None:
    again = copied(stopped, tmp_path / "again")
    for name, run in zip(again, take_up(2, list(again.values()), "stop={}"), strict=True):
        assert run.status == 0, run.stderr
        assert_same(run, whole[name], name)
        before = stopped[name].summary["rounds"]
        assert run.summary["resumed_from"] == before
        kept = json.loads((run.folder / f"summary-{before}.json").read_text())
        assert kept == stopped[name].summary


def test_more_rounds_of_a_stopped_run_count_from_those_that_it_has(
    stopped: dict[str, Finished], tmp_path: Path
) -> None:
    again = copied({"target": stopped["target"]}, tmp_path / "again")
    rounds = stopped["target"].summary["rounds"] + 2
    short = run_job(1, tmp_path, *JOBS["target"], f"rounds={rounds}")
    (run,) = take_up(1, list(again.values()), "rounds=+2", "stop={}")
    assert run.status == 0, run.stderr
    assert run.summary["rounds"] == rounds
    assert_same(run, short, "target")


def test_an_extended_run_is_the_one_that_was_longer_from_the_beginning(
    whole: dict[str, Finished], tmp_path: Path
) -> None:
    """17 is no multiple of any evaluation.every but 1: the test of the round that was the last one goes."""
    short = made(3, tmp_path, {name: (*job, "rounds=17") for name, job in JOBS.items()})
    for name, run in zip(short, take_up(1, list(short.values()), "rounds=+7"), strict=True):
        assert run.status == 0, run.stderr
        assert_same(run, whole[name], name)
        assert run.summary["rounds"] == LONG
        assert run.summary["resumed_from"] == 17


def test_a_stop_that_only_the_test_of_the_last_round_met_is_none_of_a_longer_run(
    tmp_path: Path,
) -> None:
    """Round 3 is tested because it is the last one, and of 6 rounds it is not."""
    job = (*SYNC, "evaluation.every=4", "stop={metric: accuracy, at: 0}")
    short = run_job(1, tmp_path, *job, "rounds=3")
    assert short.summary["stopped_by"] == "stop.at"
    longer = run_job(1, tmp_path, *job, "rounds=6")
    assert longer.summary["rounds"] == 4
    (run,) = take_up(1, [short], "rounds=+3")
    assert run.status == 0, run.stderr
    assert_same(run, longer, "target")


def test_an_extended_run_that_is_killed_at_once_is_extended_when_it_is_taken_up_again(
    whole: dict[str, Finished], tmp_path: Path
) -> None:
    """As after the loss of rank 0: what goes on is the checkpoint of the end that it had before."""
    names = ("patience", "buffered", "protocol")
    short = made(2, tmp_path, {name: (*JOBS[name], "rounds=17") for name in names})
    for run in short.values():
        begin(None, ["rounds=+7"], None, str(run.folder)).lock.close()
    for name, run in zip(short, take_up(3, list(short.values())), strict=True):
        assert run.status == 0, run.stderr
        assert_same(run, whole[name], name)
        assert run.summary["resumed_from"] == 17


def test_what_cannot_be_extended_is_refused_in_one_line_and_left_as_it_is(
    stopped: dict[str, Finished], tmp_path: Path
) -> None:
    cosine = run_job(1, tmp_path, *SYNC, "rounds=4", "training.schedule=cosine")
    noise = run_job(1, tmp_path, *SYNC, "rounds=4", NBAFL)
    run = copied({"target": stopped["target"]}, tmp_path / "copy")["target"]
    rounds = run.summary["rounds"]
    refusals = {
        (cosine.folder, "rounds=+2"): r"rounds: 6 is not allowed: with training.schedule cosine",
        (noise.folder, "rounds=+2"): r"rounds: 6 is not allowed: with privacy.name nbafl",
        (run.folder, "rounds=2"): rf"rounds is {rounds} in .* and 2 here; a run can be extended,",
        (run.folder, "rounds=20"): rf"stop.at has ended the run after round {rounds}, and more",
        (run.folder, "rounds=+5"): rf"stop.at has ended the run after round {rounds}, and more",
        (run.folder, "stop.at=0.3"): r"stop.at is met after round \d already",
        (run.folder, "stop.metric=loss"): r"stop.metric is 'accuracy' in .* and 'loss' here",
        (run.folder, "rounds=+x"): r"rounds=\+N takes a number",
        (run.folder, "seed=7"): r"seed is 1 in .*job.yaml and 7 here",
    }
    for (folder, override), said in refusals.items():
        before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        done = mpirun(1, ["mpifl.run", override, "--resume", str(folder)], tmp_path)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert re.search(said, done.stderr), done.stderr
        assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
