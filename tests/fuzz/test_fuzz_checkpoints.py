"""Run directories whose files are damaged: a run goes on from a whole checkpoint, or says in a line what is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.record.run_directory import write_environment
from mpifl.record.run_file import run_file
from mpifl.rounds.plan.plan import make_plan
from mpifl.rounds.plan.round_result import METRIC, RoundResult
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.state.checkpoint import last_checkpoint, write_checkpoint
from mpifl.state.resume import begin
from tests.fuzz.fuzz_damage import damaged
from tests.fuzz.fuzz_outcome import LONG, TALLY, check_line, examples
from tests.fuzz.fuzz_reader import Reader, resumed
from tests.logged import logged

ROUNDS = 6
JOB = """
name: damaged
rounds: 20
data: {name: sizes, samples_per_client: {quantiles: {0: 1, 100: 60}}}
population: {clients: 200, trace: %s}
model: {name: sized, parameters: 1000}
training: {engine: none, batch_size: 5}
selection: {name: uniform, participants: 5}
clock: {mode: buffered, concurrency: 10}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, trace: Path) -> Path:
    """The directory of a run that was killed after its sixth round, with the checkpoints of the third and the sixth."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "asked.yaml").write_text(JOB % trace)
    beginning = begin(str(folder / "asked.yaml"), [], str(folder / "out"), None)
    out, timed, state = beginning.folder, beginning.experiment, beginning.snapshot.clock
    write_environment(out, "no MPI", [], beginning.content_sha256)
    with run_file(out, timed.job) as file:
        for number in range(1, ROUNDS + 1):
            plan = make_plan(timed.job, timed.population, timed.workload, number, state)
            file.append(RoundResult(plan, np.empty(0, METRIC), None))
            state = plan.after
            if number % 3 == 0:
                write_checkpoint(
                    out / "checkpoint", Snapshot(rounds_done=number, clock=state, rows=file.rows())
                )
    beginning.lock.close()
    return out


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.close()


def copied(run: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(run, to))


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoint").glob("round-*.h5"))


@pytest.fixture(scope="module")
def states(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the run goes on from with both checkpoints, with the first alone, and with none."""
    found, folder = [], tmp_path_factory.mktemp("states")
    for kept in (2, 1, 0):
        copy = copied(run, folder / str(kept))
        for path in checkpoints(copy)[kept:]:
            path.unlink()
        found.append(resumed(copy))
    assert len(set(found)) == 3
    return found


def outcome(name: str, answer: dict[str, str]) -> str:
    """What became of it: "refused", or from where the run went on."""
    TALLY[f"run directory: {name}", "tried"] += 1
    assert "defect" not in answer, answer["defect"]
    if "died" in answer:  # inside HDF5
        TALLY[f"run directory: {name}", f"HDF5 {answer['died']}"] += 1
        assert LONG, answer
        return "died"
    if "refused" in answer:
        for line in answer["refused"].splitlines():
            check_line(line)
        TALLY[f"run directory: {name}", "refused"] += 1
        return "refused"
    TALLY[f"run directory: {name}", "accepted"] += 1
    return answer["read"]


@examples(60)
@given(data=st.data())
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    data: st.DataObject, run: Path, states: list[str], tmp_path: Path
) -> None:
    folder = copied(run, tmp_path / "copy")
    hit = data.draw(st.sets(st.integers(0, 1), min_size=1))
    changed = set()
    for number in hit:
        path = checkpoints(folder)[number]
        before = path.read_bytes()
        path.write_bytes(data.draw(damaged(before)))
        changed |= {number} if path.read_bytes() != before else set()
    with logged() as said:
        found = last_checkpoint(folder / "checkpoint")
    expected = next((done for number, done in ((1, 6), (0, 3)) if number not in changed), None)
    assert (found.rounds_done if found else None) == expected
    assert len(said) == (2 if expected is None else 1 if expected == 3 else 0)
    for line in said:
        check_line(line)
    TALLY["checkpoints", "tried"] += len(hit)
    TALLY["checkpoints", "refused"] += len(said)
    TALLY["checkpoints", "accepted"] += len(hit) - len(said)
    assert resumed(folder) == states[{6: 0, 3: 1, None: 2}[expected]]


@pytest.mark.parametrize("name", ["run.h5", "environment.json", "job.yaml"])
@examples(40, shrink=False)
@given(data=st.data())
def test_a_damaged_file_of_the_run(
    name: str, data: st.DataObject, run: Path, states: list[str], reader: Reader, tmp_path: Path
) -> None:
    folder = copied(run, tmp_path / "copy")
    (folder / name).write_bytes(data.draw(damaged((folder / name).read_bytes())))
    found = outcome(name, reader.ask("run", folder, folder))
    # Of job.yaml a digit may have become another one: then it is another job, as if somebody had changed it by hand.
    assert name == "job.yaml" or found in ("refused", "died", states[0])


@pytest.mark.parametrize("name", ["run.h5", "environment.json", "job.yaml", "checkpoint"])
@pytest.mark.parametrize("how", ["empty", "folder", "gone", "text"])
def test_a_file_of_the_run_that_is_something_else(
    name: str, how: str, run: Path, states: list[str], reader: Reader, tmp_path: Path
) -> None:
    folder = copied(run, tmp_path / "copy")
    for path in checkpoints(folder) if name == "checkpoint" else [folder / name]:
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how != "gone":
            path.write_text("" if how == "empty" else '["not what it was"]')
    found = outcome(name, reader.ask("run", folder, folder))
    if name == "checkpoint":
        assert found == states[2]
    elif (
        name == "environment.json" and how == "gone"
    ):  # the run ended before it had begun, as far as anybody can tell
        assert found == states[0]
    else:
        assert found == "refused"


def test_nothing_of_a_damaged_run_is_touched_before_it_is_refused(
    run: Path, reader: Reader, tmp_path: Path
) -> None:
    folder = copied(run, tmp_path / "copy")
    (folder / "run.h5").write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert outcome("run.h5", reader.ask("run", folder, folder)) == "refused"
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    changed = {
        os.path.relpath(path, folder)
        for path in {*before, *after}
        if before.get(path) != after.get(path)
    }
    assert changed <= {"environment.json"}  # which says who took the run up
