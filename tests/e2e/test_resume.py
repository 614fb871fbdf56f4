"""Killed at any moment and taken up again, on another number of ranks: the same bits and the same rows."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mpifl.cluster.signals import STOPPING
from mpifl.errors import INTERRUPTED
from mpifl.mpi.launch import command
from mpifl.record.status import read_status
from tests.launching import (
    COSTS,
    HELD,
    LEARNED,
    LIMIT_SECONDS,
    UNDER_WAY,
    Finished,
    gone,
    held,
    mpifl,
    mpirun,
    process_of,
    python,
    run_job,
    undisturbed_runs,
)
from tests.same_runs import differences

SYNC = ("quickstart", "rounds=60", "training.engine=loop", "checkpoint.every=7")
BUFFERED = (*SYNC, "clock={mode: buffered, concurrency: 20}", "selection.participants=5")
COMPASS = (
    *SYNC,
    "data.partition.clients=12",
    "clock={mode: compass, concurrency: 15, least_steps: 3, most_steps: 30}",
)  # with places to spare: the selection rule is asked in every round
SCAFFOLD = (*SYNC, "algorithm=scaffold", "selection.participants=5")
DITTO = (*SYNC, "algorithm=ditto", "selection.participants=5")
IFCA = (*SYNC, "algorithm={name: ifca, clusters: 3, spread: 0.2}", "selection.participants=5")
TIMING = ("reddit-timing", "rounds=60", "checkpoint.every=7", "selection.participants=200")
STARVED: tuple[str, ...] = (
    *TIMING[:3],
    "selection.participants=20",
    "population={clients: 3000, trace: charging}",
)  # a third are online
STARVED = (*STARVED, "clock={mode: buffered, concurrency: 3000, availability: resume}")
CODED = (
    "exchange.up=[adaptive_clip, error_feedback, {name: top_k, share: 0.05}, qsgd]",
    "exchange.down=int8",
    "exchange.delta=true",
    "selection.participants=5",
)
JOBS = {
    "sync": SYNC,
    "buffered": BUFFERED,
    "compass": COMPASS,
    "scaffold": SCAFFOLD,
    "ditto": DITTO,
    "ifca": IFCA,
    "timing": TIMING,
    "starved": STARVED,
    "learned": (*SYNC, *LEARNED),
    "measured costs": (*SYNC, *COSTS),
    "measured under way": (*SYNC, *UNDER_WAY),
    "exchange": (*SYNC, *CODED),
}

GO = "go"  # the file that a run waits for
TRIALS = int(os.environ.get("MPIFL_TRIALS", "1"))  # of each job; 5 are 20 runs in all


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """The run of a job that nothing happens to, made once."""
    return undisturbed_runs(tmp_path_factory, JOBS)


LAST_DRAW = dict.fromkeys(JOBS, 60) | {
    "buffered": 290,
    "compass": 340,
    "starved": 1300,
    "measured costs": 120,
    "measured under way": 290,
}
"""Of the selection's draws one near the end, at which a run waits for ``go_on``: so that it is met under way."""


def start(
    ranks: int, folder: Path, *arguments: str, wait_at: int | None = None, rule: str = "Held"
) -> subprocess.Popen[str]:
    """Start ranks and go on; their folder is in the command line of every one of them."""
    waits = held(folder / GO, wait_at, rule) if wait_at else []
    line = command(ranks, [*arguments, *waits], os.environ)
    where = line.index(sys.executable)
    line[where : where + 1] = python()
    return subprocess.Popen(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def lines_until(run: subprocess.Popen[str], beginning: str) -> Iterator[str]:
    assert run.stdout is not None
    for line in run.stdout:
        yield line
        if line.startswith(beginning):
            return
    raise AssertionError(f"ended with {run.wait()} before {beginning!r}")


def lines_until_round(run: subprocess.Popen[str], round_number: int) -> Iterator[str]:
    return lines_until(run, f"round {round_number}/")


def kill_all(folder: Path, run: subprocess.Popen[str]) -> None:
    """SIGKILL to mpirun and every rank, all of which name the folder."""
    named = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=True)
    processes = [process_of(int(line)) for line in named.stdout.split()]
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    run.wait(timeout=LIMIT_SECONDS)
    assert run.stdout is not None
    run.stdout.close()
    assert gone(processes), "a rank is still there"


def go_on(ranks: int, out: Path) -> Finished:
    (out.parent / GO).touch()
    done = mpirun(ranks, ["mpifl.run", "--resume", str(out)], out.parent)
    return Finished(done.returncode, done.stdout, done.stderr, out)


def assert_same(found: Finished, wanted: Finished) -> None:
    assert found.status == 0, found.stderr
    assert found.summary["ranks_lost"] == wanted.summary["ranks_lost"]
    assert differences(found, wanted) == []


@pytest.mark.parametrize("trial", range(TRIALS))
@pytest.mark.parametrize("name", JOBS)
def test_killed_and_taken_up_again(
    tmp_path: Path, undisturbed: Callable[[str], Finished], name: str, trial: int
) -> None:
    """At moments drawn by name and trial: a round, and up to a tenth of a second after it."""
    draw = random.Random(f"{name} {trial}")
    out = tmp_path / "out"
    ranks = draw.choice([1, 2, 3])
    rule = HELD.get(name, "Held")
    line = (*JOBS[name], "--out", str(out))
    run = start(ranks, tmp_path, *line, wait_at=LAST_DRAW[name], rule=rule)
    for _ in lines_until_round(run, draw.randint(1, 50)):
        pass
    time.sleep(draw.random() / 10)
    kill_all(out, run)
    found = go_on(draw.choice([1, 2, 3]), out)
    assert_same(found, undisturbed(name))
    if name not in (
        "buffered",
        "compass",
    ):  # whose checkpoints come at the end of a batch of rounds
        assert found.summary["resumed_from"] is None or found.summary["resumed_from"] % 7 == 0


def test_an_algorithm_that_sends_several_arrays_goes_on_with_each_where_it_belongs(
    tmp_path: Path, undisturbed: Callable[[str], Finished]
) -> None:
    out = tmp_path / "out"
    run = start(2, tmp_path, *SCAFFOLD, "--out", str(out), wait_at=60)
    for _ in lines_until_round(run, 30):
        pass
    kill_all(out, run)
    assert_missing_state_is_named(Path(shutil.copytree(out, tmp_path / "copy")))
    found = go_on(3, out)
    assert_same(found, undisturbed("scaffold"))
    assert found.summary["resumed_from"] >= 21


def assert_missing_state_is_named(out: Path) -> None:
    """Client state that has gone is an error, not a client that never took part."""
    for folder in (out / "checkpoint" / "clients").glob("*/*"):
        shutil.rmtree(folder)
    done = go_on(2, out)
    assert done.status == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mpifl: rank 1")]
    pattern = r"round \d+, clients? .*/checkpoint/clients/(\w+)/(\d+)/\d+: missing on host \S+: .* client \2 kept after round"
    assert re.search(pattern, line), line


def test_killed_again_and_again(tmp_path: Path, undisturbed: Callable[[str], Finished]) -> None:
    out = tmp_path / "out"
    arguments: tuple[str, ...] = (*SYNC, "--out", str(out))
    for round_number in (10, 24, 45):
        run = start(2, tmp_path, *arguments, wait_at=60 if "--out" in arguments else None)
        assert any(line.startswith("round ") for line in lines_until_round(run, round_number))
        kill_all(out, run)
        arguments = ("--resume", str(out))
    found = go_on(3, out)
    assert_same(found, undisturbed("sync"))
    environment = json.loads((out / "environment.json").read_text())
    assert len(environment["earlier"]) == 3


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    tmp_path: Path, undisturbed: Callable[[str], Finished]
) -> None:
    out = tmp_path / "out"
    run = start(2, tmp_path, *SYNC, "--out", str(out), wait_at=60)
    for _ in lines_until_round(run, 40):
        pass
    kill_all(out, run)
    newest = max((out / "checkpoint").glob("*.h5"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    found = go_on(2, out)
    assert f"checkpoint skipped: {newest}" in found.stderr
    assert_same(found, undisturbed("sync"))


def stopped(folder: Path, arguments: Sequence[str], after: int, number: signal.Signals) -> str:
    """What a run alone says that waits for GO, and that a signal ends after a round."""
    line = [*python(), "-m", "mpifl.run", *arguments]
    run = subprocess.Popen(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = [*lines_until_round(run, after)]
    run.send_signal(number)
    said += lines_until(run, f"mpifl: {STOPPING}\n")
    (folder / GO).touch()
    said.append(run.communicate(timeout=LIMIT_SECONDS)[0])
    assert run.returncode == INTERRUPTED, said
    return "".join(said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_it_after_its_round_with_a_checkpoint(
    tmp_path: Path, undisturbed: Callable[[str], Finished], number: signal.Signals
) -> None:
    out = tmp_path / "out"
    job = [*SYNC, "checkpoint.every=1000", *held(tmp_path / GO, 60)]
    said = stopped(tmp_path, [*job, "--out", str(out)], 20, number)
    assert "Traceback" not in said
    assert not (out / "summary.json").exists()
    status = read_status(out)
    assert status is not None
    assert f"mpifl: stopped after round {status.stopped_after}, with a checkpoint" in said
    compared = mpifl(tmp_path, "compare", str(out)).stdout
    assert f"out ({status.stopped_after} of 60 rounds)" in compared
    found = go_on(2, out)
    assert found.summary["resumed_from"] == status.stopped_after
    assert found.summary["model_sha256"] == undisturbed("sync").summary["model_sha256"]
    assert found.table("rounds").tobytes() == undisturbed("sync").table("rounds").tobytes()


PLUG_IN = """
from mpifl.algorithms.fedavg import FedAvg
from helper import SHARE

class Mine(FedAvg):
    def client(self, c):
        upload = yield from super().client(c)
        upload.arrays["update"] *= SHARE
        return upload
"""


def test_a_run_goes_on_with_the_plug_in_that_it_began_with(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUG_IN)
    helper = tmp_path / "helper.py"
    helper.write_text("SHARE = 0.5")
    job: tuple[str, ...] = (
        "quickstart",
        "rounds=40",
        "training.engine=loop",
        "checkpoint.every=1000",
        "algorithm={name: ./mine.py:Mine}",
    )
    wanted = run_job(2, tmp_path, *job)
    assert wanted.status == 0, wanted.stderr
    out, job = tmp_path / "out", (*job, *held(tmp_path / GO, 40))
    stopped(tmp_path, [*job, "--out", str(out)], 10, signal.SIGTERM)
    helper.write_text("SHARE = 0.7")

    asked = [*python(), "-m", "mpifl.run", *job, "--resume", str(out)]
    refused = subprocess.run(
        asked, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert refused.returncode == 2
    assert "mpifl: --resume: algorithm.name: the source of " in refused.stderr
    found = go_on(2, out)
    assert found.status == 0, found.stderr
    assert found.summary["resumed_from"] >= 10
    assert found.summary["model_sha256"] == wanted.summary["model_sha256"]


def test_mpirun_passes_the_signal_on_and_all_ranks_end(
    tmp_path: Path, undisturbed: Callable[[str], Finished]
) -> None:
    out = tmp_path / "out"
    run = start(3, tmp_path, *SYNC, "--out", str(out), wait_at=60)
    for _ in lines_until_round(run, 15):
        pass
    run.send_signal(signal.SIGUSR1)
    for _ in lines_until(run, f"mpifl: {STOPPING}\n"):
        pass
    (tmp_path / GO).touch()
    run.communicate(timeout=LIMIT_SECONDS)
    assert run.returncode == INTERRUPTED
    assert_same(go_on(2, out), undisturbed("sync"))


def test_what_may_and_may_not_be_asked_of_a_run_that_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = [*python(), "-m", "mpifl.run"]

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*line, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    missing = ask("--resume", str(out))
    assert missing.returncode == 2
    assert "no job.yaml there" in missing.stderr
    short = ("quickstart", "rounds=3")
    first = ask(*short, "--resume", str(out))  # begins it
    assert first.returncode == 0, first.stderr
    (out / "summary.json").unlink()
    for arguments in ((), short, ("rounds=3",)):
        (out / "summary.json").unlink(missing_ok=True)
        again = ask(*arguments, "--resume", str(out))
        assert again.returncode == 0, again.stderr
    complete = ask("--resume", str(out))
    assert complete.returncode == 0
    assert "the run is complete" in complete.stdout
    for words, said in (
        (("rounds=2",), "rounds is 3 in"),
        (("quickstart", "rounds=3", "training.lr=0.1"), "training.lr is 0.2 in"),
        (("rounds=3", "--out", "elsewhere"), "--out: not allowed with --resume"),
    ):
        refused = ask(*words, "--resume", str(out))
        assert refused.returncode == 2
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_a_directory_has_one_run_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = start(1, tmp_path, *SYNC, "rounds=100000", "--out", str(out))
    for _ in lines_until_round(run, 3):
        pass
    second = go_on(1, out)
    kill_all(out, run)
    assert second.status == 2
    assert "another run is writing there" in second.stderr


def test_data_that_has_changed_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "few.yaml"
    text = (
        (Path(__file__).parents[2] / "traces" / "phones.yaml")
        .read_text()
        .replace("phones: 1000", "phones: 50")
    )
    recipe.write_text(text)
    out = tmp_path / "out"
    line = [*python(), "-m", "mpifl.run"]
    first = subprocess.run(
        [*line, "quickstart", "rounds=2", f"population.trace={recipe}", "--out", str(out)],
        cwd=tmp_path,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert first.returncode == 0
    (out / "summary.json").unlink()
    recipe.write_text(text.replace("phones: 50", "phones: 51"))
    refused = go_on(1, out)
    assert refused.status == 2
    assert "population.trace has changed since the run began" in refused.stderr
    assert np.isfinite(refused.table("rounds")["loss"]).all()
