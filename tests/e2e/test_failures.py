"""Whatever is wrong ends every rank, soon, with the right status and a line for the person who made it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.launching import mpifl, mpirun, recovers, run_job

RAISES = """
from mpifl.algorithms.fedavg import FedAvg

class Mine(FedAvg):
    name: str = "mine"

    def client(self, c):
        upload = yield from super().client(c)
        update = upload.arrays["update"]
        if {condition}:
            {action}
        return upload
"""


def plug_in(folder: Path, condition: str, action: str) -> str:
    file = folder / "mine.py"
    file.write_text(RAISES.format(condition=condition, action=action))
    return f"algorithm.name={file}:Mine"


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_misspelt_key_ends_every_rank_with_status_2_and_one_line(
    tmp_path: Path, ranks: int
) -> None:
    done = run_job(ranks, tmp_path, "quickstart", "trainig.lr=0.1")
    assert done.status == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("mpifl:")]
    assert len(said) == 1
    assert said[0].endswith("trainig.lr: no such key; did you mean training.lr?")
    assert "Traceback" not in done.stderr
    assert not done.folder.exists()


def test_the_launcher_finds_a_wrong_job_before_it_starts_mpirun(tmp_path: Path) -> None:
    done = mpifl(tmp_path, "run", "-n", "3", "quickstart", "training.lr=-1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "training.lr: -1 is not allowed" in done.stderr
    assert "mpirun" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_run_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "precious").write_text("data")
    done = mpifl(tmp_path, "run", "-n", "2", "quickstart", "rounds=1", "--out", str(used))
    assert done.returncode == 2
    assert f"--out: {used}: not empty" in done.stderr
    assert [path.name for path in used.iterdir()] == ["precious"]


@pytest.mark.parametrize("ranks", [1, 3])
def test_an_exception_on_one_rank_ends_all_and_names_rank_round_client_and_cause(
    tmp_path: Path, ranks: int
) -> None:
    done = run_job(
        ranks, tmp_path, "quickstart", plug_in(tmp_path, "True", "raise KeyError('boom')")
    )
    assert done.status == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("mpifl: rank")]
    assert said
    assert ", round 1, client " in said[0]
    assert said[0].endswith("KeyError: 'boom'")
    # Its author's own lines, and nothing of what called them.
    assert f'File "{tmp_path}/mine.py", line' in done.stderr
    assert "plugins/algorithm" not in done.stderr  # the copy, which nobody edits
    assert "client_program.py" not in done.stderr
    assert not (done.folder / "summary.json").exists()


def test_an_update_that_is_not_finite_names_its_client_and_tensor(tmp_path: Path) -> None:
    done = run_job(3, tmp_path, "quickstart", plug_in(tmp_path, "True", "update[5] = float('nan')"))
    assert done.status == 1
    assert "round 1, client " in done.stderr
    assert "tensor 1.weight is nan" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_run_all_of_whose_clients_are_dropped_has_failed(tmp_path: Path, ranks: int) -> None:
    job = (
        "quickstart",
        "rounds=2",
        plug_in(tmp_path, "True", "raise KeyError('boom')"),
        "runtime.on_client_error=drop",
    )
    done = run_job(ranks, tmp_path, *job)
    assert done.status == 1, done.stderr
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("mpifl: rank")]
    assert said == [
        "mpifl: rank 0: training failed for all of 20 participants, so the model is"
        " the initial one; the lines above name each failure"
    ]
    assert done.stderr.count(": dropped: KeyError: 'boom'") == 20
    assert done.table("rounds")["failed"].tolist() == [10, 10]
    assert not (done.folder / "summary.json").exists()
    assert not (done.folder / "model.safetensors").exists()


def test_training_that_diverges_says_so(tmp_path: Path) -> None:
    done = run_job(2, tmp_path, "quickstart", "training.lr=1e30")
    assert done.status == 1
    assert "a smaller training.lr may help" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failing_server_names_the_round(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from mpifl.algorithms.fedavg import FedAvg\n"
        "class Mine(FedAvg):\n"
        "    name: str = 'mine'\n"
        "    def server(self, s, mean):\n"
        "        return {'model': s.state['model'] / 0}\n"
    )
    done = run_job(3, tmp_path, "quickstart", f"algorithm.name={file}:Mine")
    assert done.status == 1
    assert "mpifl: rank 0, round 1: the server's model is" in done.stderr


def test_an_algorithm_of_the_users_own_runs_and_repeats(tmp_path: Path) -> None:
    """With a file beside it that it imports, in no folder that Python would look into; again from its copies alone."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text(
        "from mpifl.algorithms.context import Upload\n"
        "from mpifl.algorithms.fedavg import FedAvg\n"
        "from mpifl.algorithms.requests import Train\n"
        "class Half(FedAvg):\n"
        "    name: str = 'half'\n"
        "    share: float = 0.5\n"
        "    def client(self, c):\n"
        "        from helper import times\n"
        "        trained = yield Train(c.received['model'])\n"
        "        return Upload(update=times(trained.update, self.share))\n"
    )
    (tmp_path / "code" / "helper.py").write_text(
        "def times(update, share):\n    return update * share\n"
    )
    job = "algorithm={name: './code/mine.py:Half', share: 0.25}"
    one, three = (run_job(ranks, tmp_path, "quickstart", "rounds=2", job) for ranks in (1, 3))
    assert one.status == three.status == 0, one.stderr
    assert one.summary["model_sha256"] == three.summary["model_sha256"]
    shutil.rmtree(tmp_path / "code")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = run_job(2, elsewhere, one.folder / "job.yaml")
    assert again.summary["model_sha256"] == one.summary["model_sha256"]
    plain = run_job(1, tmp_path, "quickstart", "rounds=2")
    assert plain.summary["model_sha256"] != one.summary["model_sha256"]


@pytest.mark.parametrize(
    "arguments", [["quickstart", "--bogus"], []], ids=["an unknown option", "no job"]
)
def test_a_wrong_command_line_ends_every_rank(tmp_path: Path, arguments: list[str]) -> None:
    done = mpirun(3, ["mpifl.run", *arguments], tmp_path)
    assert done.returncode == 2
    assert "mpifl: command line: " in done.stderr or "mpifl: JOB: missing" in done.stderr


def test_help_ends_every_rank(tmp_path: Path) -> None:
    done = mpirun(2, ["mpifl.run", "--help"], tmp_path)
    assert done.returncode == 0
    assert "section.key=value" in done.stdout


def test_more_updates_a_round_than_clients_that_can_be_found_is_an_error(tmp_path: Path) -> None:
    clock = "clock={mode: buffered, concurrency: 60, latency: {model_bytes: 400000000000}}"
    done = run_job(
        1, tmp_path, "quickstart", "training.engine=none", "selection.participants=50", clock
    )
    assert done.status == 2
    assert "round 1: population.trace: fewer than 50 of the 100 clients" in done.stderr


RULE = """
from mpifl.aggregation.median import Median

class Mine(Median):
    name: str = "mine"

    def aggregate(self, updates):
        raise KeyError("boom")
"""


def test_an_error_that_all_ranks_meet_is_not_told_by_each_of_them(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(RULE)
    done = run_job(5, tmp_path, "quickstart", f"aggregation={file}:Mine")
    assert done.status == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("mpifl: rank")]
    assert 1 <= len(said) < 5
    assert len(said) == done.stderr.count("Traceback")
    assert said[0].startswith("mpifl: rank 0, round 1, aggregation.name ")
    assert said[0].endswith("mine.py:Mine: KeyError: 'boom'")


ENDS = """
import sys
import numpy as np
from mpifl.mpi.world import connect

world = connect()
world.sum_to_all(np.zeros(1, np.int64))  # Open MPI 5 crashes where it is revoked in MPI_Init
def tell():
    print(f"rank {world.rank} tells", file=sys.stderr)
if world.rank == 0 and sys.argv[1] == "told":
    world.abort(1)
world.abort(1, tell)
"""


@pytest.mark.skipif(not recovers(), reason="this MPI was built without ULFM")
@pytest.mark.parametrize("how", ["told", "untold"])
def test_a_rank_that_leaves_the_telling_to_others_tells_if_none_has(
    tmp_path: Path, how: str
) -> None:
    file = tmp_path / "ends.py"
    file.write_text(ENDS)
    done = mpirun(3, [str(file), how], tmp_path)
    assert done.returncode == 1, done.stderr
    telling = range(1, 4) if how == "untold" else [0]  # mpirun ends the others after the first
    assert done.stderr.count(" tells\n") in telling
