"""Ranks that die, hang or fail while a run goes on: those that are left end it with the bits of the undisturbed run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mpifl.cluster.signals import STOPPING
from mpifl.mpi.launch import command
from tests.every_algorithm import ALGORITHMS, with_algorithm
from tests.launching import (
    COSTS,
    HELD,
    LEARNED,
    LIMIT_SECONDS,
    UNDER_WAY,
    Finished,
    gone,
    held,
    mpirun,
    process_of,
    python,
    recovers,
    run_job,
    undisturbed_runs,
)
from tests.same_runs import differences

ROUNDS = 48
SYNC = ("quickstart", f"rounds={ROUNDS}", "training.engine=loop", "checkpoint.every=7")
BUFFERED = (*SYNC, "clock={mode: buffered, concurrency: 20}", "selection.participants=5")
COMPASS = (
    *SYNC,
    "data.partition.clients=12",
    "clock={mode: compass, concurrency: 15, least_steps: 3, most_steps: 30}",
)  # with places to spare: the selection rule is asked in every round
SCAFFOLD = (*SYNC, "algorithm=scaffold", "selection.participants=5")
JOBS = {
    "sync": SYNC,
    "buffered": BUFFERED,
    "compass": COMPASS,
    "scaffold": (*SCAFFOLD, "exchange={up: [error_feedback, sign], down: int8, delta: true}"),
    "learned": (*SYNC, *LEARNED, "aggregation=median"),  # which needs all updates
    "measured costs": (*SYNC, *COSTS),
    "measured under way": (*SYNC, *UNDER_WAY),
    "masked": (*SYNC, "secure_aggregation=secagg", "selection.participants=5"),
}

TRIALS = int(os.environ.get("MPIFL_TRIALS", "1"))  # of each job
RECOVERS = recovers()
needs_ulfm = pytest.mark.skipif(not RECOVERS, reason="this MPI was built without ULFM")
LAST_DRAW = dict.fromkeys(JOBS, ROUNDS) | {
    "buffered": 5 * ROUNDS - 10,
    "compass": 265,
    "measured costs": 2 * ROUNDS,
    "measured under way": 5 * ROUNDS - 10,
}
"""Of the selection's draws one near the end, at which a run waits until the test has done what it does to it."""
BEGUN = str(Path(__file__).parents[1] / "begun.py")

FAILS = """
from mpifl.algorithms.fedavg import FedAvg

class Mine(FedAvg):
    name: str = "mine"

    def client(self, c):
        upload = yield from super().client(c)
        update = upload.arrays["update"]
        {action}
        return upload
"""
SOME_RAISE = "if int(update.abs().sum() * 1e4) % 3 == 0: raise KeyError('boom')"


def _children(process: str) -> list[str]:
    try:
        return Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []


class Ranks:
    """A run that goes on under mpirun, and its ranks by number.

    It does not end before the test waits for its end: the selection's draws from ``wait_at`` on wait for that.
    """

    def __init__(
        self,
        ranks: int,
        out: Path,
        *arguments: str,
        recovers: bool = True,
        wait_at: int | None = None,
        rule: str = "Held",
        preloaded: bool = True,
    ) -> None:
        self.may_end, self.begun = out.with_suffix(".may-end"), out.with_suffix(".begun")
        self.begun.mkdir()
        if wait_at is not None:
            arguments = (*arguments, *held(self.may_end, wait_at, rule))
        line = command(ranks, [*arguments, "--out", str(out)], os.environ)
        where = line.index(sys.executable)
        begins = python() if preloaded else [sys.executable]
        line[where : where + 3] = [*begins, BEGUN, str(self.begun)]
        if RECOVERS and not recovers:
            where = line.index("--with-ft")
            del line[where : where + 2]
        self.out, self.said = out, out.with_suffix(".said")
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                line, cwd=out.parent, stdout=said, stderr=subprocess.STDOUT
            )

    def pids(self) -> dict[int, int]:
        """Process by rank, of those that are there: children of mpirun, or of its proxy (MPICH), or what these stand for."""
        found = {}
        parents = [str(self.process.pid)]
        while parents:
            for child in _children(parents.pop()):
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
                    pairs = dict(
                        pair.partition(b"=")[::2]
                        for pair in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
                    )
                    rank = pairs.get(b"OMPI_COMM_WORLD_RANK", pairs.get(b"PMI_RANK"))
                    if rank is None:
                        parents.append(child)
                    elif status != "Z":
                        found[int(rank)] = process_of(int(child))
        return found

    def kill(self, *ranks: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to ranks, which are all there."""
        pids = self.pids()
        for rank in ranks:
            os.kill(pids[rank], number)

    def until(self, there: Callable[[], bool]) -> None:
        """Wait, while the run goes on."""
        end = time.monotonic() + LIMIT_SECONDS
        while True:
            status = (
                self.process.poll()
            )  # before it is asked what there is: it may be there because the run has ended
            if there():
                return
            assert status is None, f"ended before with {status}: {self.text()}"
            assert time.monotonic() < end, self.text()
            time.sleep(0.002)

    def until_round(self, round_number: int) -> None:
        self.until(lambda: f"round {round_number}/" in self.text())

    def until_all_are_in_mpi(self, ranks: int) -> None:
        self.until(lambda: len(list(self.begun.iterdir())) == ranks)

    def text(self) -> str:
        return self.said.read_text(errors="replace")

    def end(self) -> Finished:
        """Let it end, and wait for that; no process may be left."""
        self.may_end.touch()
        pids = self.pids()
        try:
            status = self.process.wait(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"hangs with ranks {sorted(self.pids())}: {self.text()}") from None
        finally:
            self.stop()
        assert gone(pids.values()), f"of ranks {pids} some are left: {self.text()}"
        return Finished(status, "", self.text(), self.out)

    def stop(self) -> None:
        """End what may still be there."""
        if self.process.poll() is None:
            for pid in [*self.pids().values(), self.process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(timeout=LIMIT_SECONDS)


Start = Callable[..., Ranks]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(3, *SYNC): begin a run; whatever becomes of the test, nothing of it is left."""
    begun: list[Ranks] = []

    def start(ranks: int, *arguments: str, **how: Any) -> Ranks:
        begun.append(Ranks(ranks, tmp_path / f"out{len(begun)}", *arguments, **how))
        return begun[-1]

    yield start
    for run in begun:
        run.stop()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """The run of a job that nothing happens to, made once."""
    return undisturbed_runs(tmp_path_factory, JOBS)


def assert_same(found: Finished, wanted: Finished, lost: int) -> None:
    """The same bits and rows, and as many ranks lost as it says."""
    assert found.status == 0, found.stderr
    assert found.summary["ranks_lost"] == lost
    assert "Traceback" not in found.stderr
    assert differences(found, wanted) == []


@needs_ulfm
@pytest.mark.parametrize("trial", range(TRIALS))
@pytest.mark.parametrize("name", JOBS)
def test_an_executor_is_killed(
    start: Start, undisturbed: Callable[[str], Finished], name: str, trial: int
) -> None:
    """At moments drawn by name and trial: a round, and up to a tenth of a second after it."""
    draw = random.Random(f"{name} {trial}")
    ranks = draw.choice([2, 3, 4])
    run = start(ranks, *JOBS[name], wait_at=LAST_DRAW[name], rule=HELD.get(name, "Held"))
    after = draw.randint(1, 35)
    run.until_round(after)
    time.sleep(draw.random() / 10)
    run.kill(draw.randrange(1, ranks))
    found = run.end()
    assert_same(found, undisturbed(name), lost=1)
    losses = found.table("losses")
    assert losses["ranks"].tolist() == [ranks - 1]
    assert losses["round"][0] > after
    assert 0 < losses["wall_seconds"][0] < found.summary["wall_seconds"]


@needs_ulfm
@pytest.mark.parametrize("trial", range(TRIALS))
@pytest.mark.parametrize("name", JOBS)
def test_the_aggregator_is_killed(
    start: Start, undisturbed: Callable[[str], Finished], name: str, trial: int
) -> None:
    draw = random.Random(f"aggregator {name} {trial}")
    ranks = draw.choice([3, 4])  # so that what a checkpoint holds is sent again
    run = start(ranks, *JOBS[name], wait_at=LAST_DRAW[name], rule=HELD.get(name, "Held"))
    run.until_round(draw.randint(9, 35))
    time.sleep(draw.random() / 10)
    run.kill(0)
    found = run.end()
    assert_same(found, undisturbed(name), lost=1)
    assert found.summary["ranks"] == ranks
    losses = found.table("losses")
    assert losses["ranks"].tolist() == [ranks - 1]
    assert losses["round"][0] == (found.summary["resumed_from"] or 0) + 1


STATEFUL = ("cfl", "fedala", "fedfomo", "fedgen", "fedmd", "heterofl")
"""Algorithms whose state differs in kind: clusters or a generator on the server, parts of models and
tables on clients, models of others, sums of parts. With MPIFL_TRIALS=2 or more all are killed."""


@needs_ulfm
@pytest.mark.parametrize("algorithm", ALGORITHMS if TRIALS > 1 else STATEFUL)
@pytest.mark.runs((2,), lambda algorithm: with_algorithm(algorithm, rounds=9))
def test_an_algorithm_survives_the_loss_of_an_executor_and_then_of_the_aggregator(
    start: Start, runs: list[Finished], algorithm: str
) -> None:
    """With what its clients keep, which is tested by their own models."""
    draws = 45 if algorithm == "fedasync" else 9
    run = start(3, *with_algorithm(algorithm, rounds=9), wait_at=draws)
    run.until_round(2)
    run.kill(1)
    run.until_round(5)
    run.kill(0)
    found = run.end()
    assert_same(found, runs[0], lost=2)
    assert found.table("clients").tobytes() == runs[0].table("clients").tobytes()
    assert found.table("losses")["ranks"][-1] == 1


@needs_ulfm
def test_two_are_killed_one_after_the_other(
    start: Start, undisturbed: Callable[[str], Finished]
) -> None:
    run = start(4, *SYNC, wait_at=ROUNDS)
    run.until_round(20)
    run.kill(2)
    run.until_round(30)
    run.kill(3)
    found = run.end()
    assert_same(found, undisturbed("sync"), lost=2)
    assert found.table("losses")["ranks"].tolist() == [3, 2]


@needs_ulfm
def test_an_executor_is_killed_and_then_the_aggregator_and_then_that_which_took_its_place(
    start: Start, undisturbed: Callable[[str], Finished]
) -> None:
    run = start(4, *SYNC, wait_at=ROUNDS)
    for rank, after in ((2, 8), (0, 18), (1, 30)):
        run.until_round(after)
        run.kill(rank)
    found = run.end()
    assert_same(found, undisturbed("sync"), lost=3)
    assert found.table("losses")["ranks"][-1] == 1


@needs_ulfm
@pytest.mark.parametrize("left", [0, 2])
def test_the_last_one_goes_on_alone(
    start: Start, undisturbed: Callable[[str], Finished], left: int
) -> None:
    run = start(4, *JOBS["scaffold"], wait_at=ROUNDS)
    run.until_round(20)
    run.kill(*(rank for rank in range(4) if rank != left))
    found = run.end()
    assert_same(found, undisturbed("scaffold"), lost=3)
    assert found.table("losses")["ranks"][-1] == 1


@needs_ulfm
@pytest.mark.parametrize("trial", range(TRIALS))
def test_one_more_dies_while_they_recover(
    start: Start, undisturbed: Callable[[str], Finished], trial: int
) -> None:
    draw = random.Random(f"recovering {trial}")
    run = start(5, *SYNC, wait_at=ROUNDS)
    run.until_round(10)
    first, second = draw.sample(range(5), 2)
    run.kill(first)
    time.sleep(draw.random() * 0.03)
    run.kill(second)
    assert_same(run.end(), undisturbed("sync"), lost=2)


@needs_ulfm
@pytest.mark.parametrize("rank", [0, 1])
def test_one_is_killed_in_the_last_round_or_after_it(
    start: Start, undisturbed: Callable[[str], Finished], rank: int
) -> None:
    """Where the model is written: it is over before or goes on, but is never left half done."""
    run = start(3, *SYNC)
    run.until_round(ROUNDS - 1)
    run.until(lambda: (run.out / "model.safetensors").exists() or f"round {ROUNDS}/" in run.text())
    with contextlib.suppress(KeyError, ProcessLookupError):  # it may be gone
        run.kill(rank)
    found = run.end()
    assert found.summary["model_sha256"] == undisturbed("sync").summary["model_sha256"]
    assert found.table("rounds").tobytes() == undisturbed("sync").table("rounds").tobytes()
    assert found.status == 0, found.stderr


@needs_ulfm
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("seconds", [0.0, 0.7])
def test_one_is_killed_while_they_start(
    start: Start, undisturbed: Callable[[str], Finished], rank: int, seconds: float
) -> None:
    """Nobody waits for ever: the run ends with the bits, or without and says so."""
    run = start(3, *SYNC, wait_at=ROUNDS)
    run.until_all_are_in_mpi(3)  # before that Open MPI lets the others wait, see mpifl/mpi/world.py
    time.sleep(seconds)
    run.kill(rank)
    found = run.end()
    if found.status == 0:
        assert_same(found, undisturbed("sync"), lost=1)
    else:
        assert not (found.folder / "summary.json").exists()


@needs_ulfm
def test_a_run_that_only_times_survives_too(start: Start, tmp_path: Path) -> None:
    job = ("reddit-timing", "rounds=100", "checkpoint.every=7", "selection.participants=500")
    run = start(3, *job, wait_at=100)
    run.until_round(20)
    run.kill(2)
    run.until_round(50)
    run.kill(0)
    found = run.end()
    assert found.status == 0, found.stderr
    wanted = run_job(1, tmp_path, *job)
    assert found.table("rounds").tobytes() == wanted.table("rounds").tobytes()
    assert found.summary["ranks_lost"] == 2


@pytest.mark.parametrize(
    "recovers", [pytest.param(True, marks=needs_ulfm), False], ids=["ulfm", "plain"]
)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_hangs_is_named_and_all_end(start: Start, rank: int, recovers: bool) -> None:
    run = start(
        3,
        *SYNC,
        "rounds=100000",
        "runtime.round_timeout=8",  # no rank is so slow
        recovers=recovers,
        preloaded=False,  # rank 0 ends its parent, which is mpirun
    )
    run.until_round(10)
    pids = run.pids()
    run.kill(rank, number=signal.SIGSTOP)
    found = run.end()
    assert found.status == 1, found.stderr
    said = [
        line
        for line in found.stderr.splitlines()
        if "runtime.round_timeout: nothing has come from rank" in line
    ]
    assert said
    assert (
        f"rank {rank} " in said[0].partition("has come from ")[2]
        or ", " in said[0].partition("has come from ")[2]
    )
    assert "--resume" in said[0]
    assert gone(pids.values())


def test_without_ulfm_a_killed_rank_ends_the_run_and_it_says_how_to_go_on(
    start: Start, undisturbed: Callable[[str], Finished]
) -> None:
    run = start(3, *SYNC, recovers=False, wait_at=ROUNDS)
    run.until_round(20)
    run.kill(1)
    found = run.end()
    assert found.status != 0
    assert "--resume" in found.stderr
    assert STOPPING not in found.stderr  # mpirun ends the others by SIGTERM, in the middle of it
    done = mpirun(2, ["mpifl.run", "--resume", str(run.out)], run.out.parent)
    resumed = Finished(done.returncode, done.stdout, done.stderr, run.out)
    assert_same(resumed, undisturbed("sync"), lost=0)


def plug_in(folder: Path, action: str) -> str:
    file = folder / "mine.py"
    file.write_text(FAILS.format(action=action))
    return f"algorithm.name={file}:Mine"


def test_clients_that_raise_are_dropped_with_the_same_bits_on_any_number_of_ranks(
    tmp_path: Path,
) -> None:
    job = ("quickstart", "rounds=4", plug_in(tmp_path, SOME_RAISE), "runtime.on_client_error=drop")
    runs = [run_job(ranks, tmp_path, *job) for ranks in (1, 2, 3)]
    assert [run.status for run in runs] == [0, 0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    assert len({run.table("participants").tobytes() for run in runs}) == 1
    outcomes = runs[0].table("participants")["outcome"]
    plain = run_job(1, tmp_path, "quickstart", "rounds=4")
    failed = int((outcomes != plain.table("participants")["outcome"]).sum())
    assert 0 < failed < len(outcomes)
    for run in runs:
        assert run.stderr.count(": dropped: KeyError: 'boom'") == failed


@needs_ulfm
def test_clients_are_dropped_again_when_their_round_is_taken_up_again(
    start: Start, tmp_path: Path
) -> None:
    job = (*SYNC, plug_in(tmp_path, SOME_RAISE), "runtime.on_client_error=drop")
    wanted = run_job(1, tmp_path, *job)
    run = start(3, *job, wait_at=ROUNDS)
    run.until_round(30)
    run.kill(1)
    assert_same(run.end(), wanted, lost=1)


@needs_ulfm
def test_who_takes_over_has_the_plug_in_that_the_run_began_with(
    start: Start, tmp_path: Path
) -> None:
    job = (*SYNC, plug_in(tmp_path, "update = update * 0.5"))
    wanted = run_job(1, tmp_path, *job)
    run = start(3, *job, wait_at=ROUNDS)
    run.until_round(20)
    plug_in(tmp_path, "raise KeyError('edited')")
    run.kill(0)
    assert_same(run.end(), wanted, lost=1)


@pytest.mark.parametrize(
    "recovers", [pytest.param(True, marks=needs_ulfm), False], ids=["ulfm", "plain"]
)
@pytest.mark.parametrize("after_a_loss", [False, True])
def test_a_client_that_raises_ends_every_rank(
    start: Start, tmp_path: Path, recovers: bool, after_a_loss: bool
) -> None:
    if after_a_loss and not recovers:
        pytest.skip("without ULFM a loss ends the run")
    flag = tmp_path / "now"
    run = start(
        3,
        *SYNC,
        "rounds=100000",
        plug_in(tmp_path, f"if __import__('os').path.exists('{flag}'): raise KeyError('boom')"),
        recovers=recovers,
    )
    run.until_round(3)
    if after_a_loss:
        run.kill(1)
        run.until(lambda: "1 rank lost, 2 ranks are left" in run.text())
    flag.touch()
    found = run.end()
    assert found.status == 1, found.stderr
    lines = [line for line in found.stderr.splitlines() if line.startswith("mpifl: rank")]
    assert 1 <= len(lines) <= 2  # two executors may have failed at once
    assert all(", client " in line and line.endswith("KeyError: 'boom'") for line in lines)


@needs_ulfm
@pytest.mark.parametrize(
    "job", [("quickstart",), ("quickstart", "training.engine=none")], ids=["trains", "times"]
)
def test_wrong_input_that_is_found_late_ends_every_rank_with_status_2(
    tmp_path: Path, job: tuple[str, ...]
) -> None:
    clock = "clock={mode: buffered, concurrency: 60, latency: {model_bytes: 400000000000}}"
    done = run_job(3, tmp_path, *job, "selection.participants=50", clock)
    assert done.status == 2, done.stderr
    assert "round 1: population.trace: fewer than 50" in done.stderr
    assert "Traceback" not in done.stderr


@needs_ulfm
def test_a_signal_after_a_loss_ends_the_run_with_a_checkpoint(
    start: Start, undisturbed: Callable[[str], Finished]
) -> None:
    run = start(3, *SYNC, wait_at=ROUNDS)
    run.until_round(10)
    run.kill(1)
    run.until(lambda: "1 rank lost, 2 ranks are left" in run.text())
    run.process.send_signal(signal.SIGUSR1)
    run.until(lambda: STOPPING in run.text())
    assert run.end().status == 75
    done = mpirun(2, ["mpifl.run", "--resume", str(run.out)], run.out.parent)
    resumed = Finished(done.returncode, done.stdout, done.stderr, run.out)
    assert_same(resumed, undisturbed("sync"), lost=0)
    assert len(json.loads((run.out / "environment.json").read_text())["earlier"]) == 1
