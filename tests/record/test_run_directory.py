"""The run directory: where it is made, and what lies in it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from mpifl import __version__
from mpifl.clock.timeline import PARTICIPANT, ClockState, Outcome, Timeline
from mpifl.errors import InputError
from mpifl.job import Job, parse_job
from mpifl.models.flat import flatten
from mpifl.record import copy_rows
from mpifl.record import run_file as run_file_module
from mpifl.record.load import Run
from mpifl.record.model_file import write_model
from mpifl.record.run_directory import make_run_directory, write_environment, write_summary
from mpifl.record.run_file import RunFile, run_file
from mpifl.record.tables import TABLES
from mpifl.rounds.plan.plan import TASK, Plan
from mpifl.rounds.plan.round_result import CLIENT_TEST, METRIC, RoundResult
from mpifl.rounds.plan.round_result import Tested as _Tested  # pytest would take it for a test
from tests.known import known
from tests.mean_recall import Recall

JOB = parse_job(
    {"rounds": 3, "model": "sized", "selection": {"name": "uniform", "participants": 3}}
)


def refusal(out: str | None, name: str = "job") -> str:
    with pytest.raises(InputError) as caught:
        make_run_directory(out, name)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def round_result(round_number: int, asked: int = 3) -> RoundResult:
    """A round in which all complete, each a second after the one before."""
    rows = np.zeros(asked, PARTICIPANT)
    rows["client"], rows["outcome"] = np.arange(asked) + 10 * round_number, Outcome.COMPLETED
    rows["factor"], rows["steps"], rows["samples"], rows["bytes_down"], rows["bytes_up"] = (
        1,
        1,
        10,
        100,
        100,
    )
    rows["download_seconds"] = rows["compute_seconds"] = rows["upload_seconds"] = 1
    rows["start_seconds"], rows["stop_seconds"] = (
        100 * round_number,
        100 * round_number + 1 + np.arange(asked),
    )
    timeline = Timeline(100.0 * round_number, 100.0 * round_number + asked, 0.0, rows)
    tasks = np.zeros(asked, TASK)
    tasks["client"] = rows["client"]
    metrics = np.array(
        [(round_number, c, 1, 0.5, 0.25, 0.25, 1, 0, 0, 0, 0, 0, 0) for c in rows["client"]], METRIC
    )
    return RoundResult(
        Plan(round_number, tasks, timeline, ClockState(), 50.0),
        metrics,
        _Tested({"accuracy": 0.5, "loss": 0.25}, np.empty(0, CLIENT_TEST)),
    )


# Where


def test_run_directories_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = [make_run_directory(None, "job") for _ in range(3)] + [make_run_directory(None, "other")]
    assert [folder.as_posix() for folder in made] == [
        "runs/job",
        "runs/job-2",
        "runs/job-3",
        "runs/other",
    ]
    assert all(list(folder.iterdir()) == [] for folder in made)


def test_a_number_that_is_free_again_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        make_run_directory(None, "job")
    Path("runs/job-2").rmdir()
    assert make_run_directory(None, "job") == Path("runs/job-2")


def test_out_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = make_run_directory(str(tmp_path / "a" / "b"), "job")
    assert folder == tmp_path / "a" / "b"
    assert folder.is_dir()


def test_an_empty_out_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert make_run_directory(str(tmp_path / "out"), "job") == tmp_path / "out"


@pytest.mark.parametrize("inside", ["summary.json", ".hidden"])
def test_an_out_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).write_text("precious")
    message = refusal(str(tmp_path))
    assert message.startswith("--out: ")
    assert str(tmp_path) in message
    assert (tmp_path / inside).read_text() == "precious"


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert str(tmp_path / "out") in refusal(str(tmp_path / "out"))
    assert str(tmp_path / "out") in refusal(str(tmp_path / "out" / "below"))


def test_runs_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("")
    assert "runs" in refusal(None)


# run.h5


def test_rounds_are_appended(tmp_path: Path) -> None:
    with run_file(tmp_path, JOB) as file:
        for number in (1, 2):
            row = file.append(round_result(number))
            assert row["round"].tolist() == [number]
            assert row["asked"].tolist() == [3]
    with h5py.File(tmp_path / "run.h5") as found:
        assert found["rounds"]["round"].tolist() == [1, 2]
        assert found["participants"]["client"].tolist() == [10, 11, 12, 20, 21, 22]
        assert found["participants"]["round"].tolist() == [1, 1, 1, 2, 2, 2]
        assert found["rounds"]["accuracy"].tolist() == [0.5, 0.5]


def test_every_column_has_its_unit_as_an_attribute(tmp_path: Path) -> None:
    with run_file(tmp_path, JOB):
        pass
    with h5py.File(tmp_path / "run.h5") as found:
        assert set(found) == set(TABLES)
        for table, columns in TABLES.items():
            assert set(found[table].dtype.names) == set(found[table].attrs) == set(columns)
            assert dict(found[table].attrs) == {name: unit for name, (_, unit) in columns.items()}
            assert len(found[table]) == 0


def test_the_file_says_of_which_columns_the_higher_value_is_the_better_one(tmp_path: Path) -> None:
    with run_file(tmp_path, JOB.model_copy(update={"objective": Recall()})):
        pass
    with h5py.File(tmp_path / "run.h5") as found:
        assert {*found.attrs["higher_is_better"]} == {
            *("accuracy", "top5", "f1", "client_accuracy", "worst_decile_accuracy", "mean_recall")
        }
    with h5py.File(tmp_path / "run.h5", "r+") as old:
        del old.attrs["higher_is_better"]
    assert "miss" not in Run(tmp_path).higher_is_better
    assert Run(tmp_path).higher_is_better["accuracy"] is True
    assert Run(tmp_path).higher_is_better["loss"] is False


def test_a_round_of_nobody_is_a_round(tmp_path: Path) -> None:
    with run_file(tmp_path, JOB) as file:
        file.append(round_result(1, asked=0))
    with h5py.File(tmp_path / "run.h5") as found:
        assert (len(found["rounds"]), len(found["participants"])) == (1, 0)


def test_many_rounds_of_many(tmp_path: Path) -> None:
    with run_file(tmp_path, JOB) as file:
        for number in range(1, 6):
            file.append(round_result(number, asked=1500))
    with h5py.File(tmp_path / "run.h5") as found:
        assert len(found["participants"]) == 7500
        assert np.array_equal(
            np.unique(found["participants"]["round"], return_counts=True)[1], [1500] * 5
        )


READER = """
import sys, h5py
with h5py.File(sys.argv[1], "r", libver="latest", swmr=True) as file:
    for line in sys.stdin:
        for table in ("rounds", "participants"):
            file[table].refresh()
        print(file["rounds"]["round"].tolist(), len(file["participants"]), flush=True)
"""


def test_a_reader_follows_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that has the file open sees each round once it has been written."""
    monkeypatch.setattr(run_file_module, "WRITE_SECONDS", -1.0)
    file = RunFile(tmp_path / "run.h5", JOB)
    file.append(round_result(1))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path / "run.h5")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def seen() -> str:
            known(reader.stdin).write("\n")
            known(reader.stdin).flush()
            return known(reader.stdout).readline().strip()

        assert seen() == "[1] 3"
        file.append(round_result(2))
        assert seen() == "[1, 2] 6"
        file.append(round_result(3))
        assert seen() == "[1, 2, 3] 9"
        reader.stdin.close()
    assert reader.returncode == 0
    file.close()
    with h5py.File(tmp_path / "run.h5") as found:
        assert len(found["rounds"]) == 3


def test_what_was_appended_survives_an_error(tmp_path: Path) -> None:
    def halfway() -> None:
        with run_file(tmp_path, JOB) as file:
            file.append(round_result(1))
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        halfway()
    with h5py.File(tmp_path / "run.h5") as found:
        assert len(found["rounds"]) == 1


def job_that_keeps(**record: object) -> Job:
    return parse_job(
        {
            "rounds": 3,
            "model": "sized",
            "selection": {"name": "uniform", "participants": 1500},
            "record": record,
        }
    )


def test_no_participants_are_kept_where_none_are_asked_for(tmp_path: Path) -> None:
    with run_file(tmp_path, job_that_keeps(participants="none")) as file:
        file.append(round_result(1, asked=1500))
    with h5py.File(tmp_path / "run.h5") as found:
        assert len(found["participants"]) == 0
        assert found["rounds"]["completed"].tolist() == [1500]


def test_a_sample_keeps_always_the_same_clients(tmp_path: Path) -> None:
    with run_file(tmp_path, job_that_keeps(participants="sample", sample_share=0.1)) as file:
        for _ in range(2):
            file.append(round_result(1, asked=1500))
    with h5py.File(tmp_path / "run.h5") as found:
        kept = found["participants"]["client"]
    half = len(kept) // 2
    assert kept[:half].tolist() == kept[half:].tolist()
    assert 100 < half < 200


def test_rounds_in_quick_succession_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("mpifl.record.run_file.time.monotonic", lambda: now[0])
    with run_file(tmp_path, JOB) as file:

        def written() -> list[int]:
            with h5py.File(tmp_path / "run.h5", "r", libver="latest", swmr=True) as found:
                return found["rounds"]["round"].tolist()

        for number, seconds in ((1, 0.1), (2, 0.2), (3, 0.6), (4, 0.7)):
            now[0] = seconds
            file.append(round_result(number))
            assert written() == ([1, 2, 3] if number >= 3 else [])
        assert file.rows()["rounds"] == 4
        assert written() == [1, 2, 3, 4]


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_run_directory import JOB, RunFile, round_result\n"
        "file = RunFile(Path(sys.argv[1]), JOB)\n"
        "file.append(round_result(1)); file.append(round_result(2)); file.rows()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path / "run.h5"), str(Path(__file__).parent)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
    )
    assert done.returncode == -9, done.stderr
    with h5py.File(tmp_path / "run.h5", swmr=True) as found:
        assert found["rounds"]["round"].tolist() == [1, 2]


# The other files


def test_a_model_is_written_tensor_by_tensor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = flatten(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)))
    weights = np.random.default_rng(0).standard_normal(len(model.weights)).astype(np.float32)
    digest = write_model(tmp_path, model, weights)
    assert digest == hashlib.sha256(weights.tobytes()).hexdigest()
    with safe_open(tmp_path / "model.safetensors", "np") as found:
        names = list(found.keys())
        assert found.metadata()["model_sha256"] == digest
        tensors = {name: found.get_tensor(name) for name in names}
    state = model.module.state_dict()
    assert set(names) == {name for name, tensor in state.items() if tensor.is_floating_point()}
    for name in names:
        assert np.array_equal(tensors[name], state[name].numpy())
    in_order = np.concatenate([tensors[name].ravel() for name in model.names])
    assert in_order.tobytes() == weights.tobytes()


def test_a_written_model_can_be_loaded_by_torch(tmp_path: Path) -> None:
    from safetensors.torch import load_model

    model = flatten(nn.Linear(3, 2))
    write_model(tmp_path, model, np.arange(8, dtype=np.float32))
    fresh = nn.Linear(3, 2)
    missing, unexpected = load_model(fresh, tmp_path / "model.safetensors")
    assert (len(missing), len(unexpected)) == (0, 0)
    assert fresh.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert fresh.bias.tolist() == [6, 7]


def test_the_environment_says_what_ran_where(tmp_path: Path) -> None:
    groups = [
        {"ranks": "0-2", "hosts": {"node1": 3}, "computes_with": {"CPU capability": "AVX2"}},
        {
            "ranks": "3-6",
            "hosts": {"node1": 1, "node2": 3},
            "computes_with": {"CPU capability": "AVX512"},
        },
    ]
    write_environment(tmp_path, "Open MPI 5.0.8", groups, {"data": "ab", "trace": "cd"})
    found: dict[str, Any] = json.loads((tmp_path / "environment.json").read_text())
    assert found["mpifl"] == __version__
    assert found["mpi"] == "Open MPI 5.0.8"
    assert found["ranks_by_host"] == {"node1": 4, "node2": 3}
    assert found["ranks"] == groups
    assert found["content_sha256"] == {"data": "ab", "trace": "cd"}
    assert found["libraries"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert found["libraries"]["numpy"] == np.__version__
    assert found["python"] == sys.version.split()[0]
    assert found["git"] is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", found["git"])


def test_the_summary_is_what_was_given(tmp_path: Path) -> None:
    summary = {
        "name": "job",
        "final": {"accuracy": 0.5},
        "virtual_seconds": 0.1 + 0.2,
        "resumed_from": None,
    }
    write_summary(tmp_path, summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_killed_run_s_file_that_is_cut_off_is_refused_and_waited_for_no_longer_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 would wait for ever for the rest of a file that says that it is still being written."""
    path = tmp_path / "run.h5"
    test_what_was_written_survives_a_kill(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr(copy_rows, "READ_SECONDS", 3.0)
    with pytest.raises(InputError, match=r"run\.h5"):
        RunFile(path, JOB, {"rounds": 2})
