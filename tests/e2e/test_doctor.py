"""mpifl doctor as a person uses it: where a run would work, and where it would not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.launching import LIMIT_SECONDS, mpifl, mpirun

CHECKS = (
    "MPI",
    "ranks per node",
    "loss of a rank",
    "thread level",
    "messages within a node",
    "CUDA-aware MPI",
    "shared memory",
    "GPUs",
    "Slurm",
    "run directory",
    "HDF5",
    "file locks",
    "torch",
)


def rows(text: str) -> dict[str, str]:
    """Status of each check in the table."""
    return {
        check: status
        for status, check in re.findall(
            r"^ *(ok|warning|error) +(\S+(?: \S+)*?)(?:  |$)", text, re.MULTILINE
        )
    }


def test_here_a_run_would_work(tmp_path: Path) -> None:
    done = mpifl(tmp_path, "doctor", "-n", "3", preloaded=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tuple(rows(done.stdout)) == CHECKS
    assert "error" not in rows(done.stdout).values()
    assert "A run would work" in done.stdout.splitlines()[-1]
    assert "3 on " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_the_ranks_measure_can_be(tmp_path: Path) -> None:
    done = mpirun(2, ["mpifl.mpi.probe", str(tmp_path / "none")], tmp_path, preloaded=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["hosts"]) == 2
    assert found["blind_hosts"] == [found["hosts"][0]]  # the file that nobody sees
    measured = found["messages"]["within a node"]
    assert 5e-8 < measured["latency_seconds"] < 1
    assert 1e6 < measured["bytes_per_second"] < 1e12


def test_where_no_ranks_can_be_started_it_says_why(tmp_path: Path) -> None:
    """An environment that has mpi4py and no MPI library: mpi4py is told to load one that is not there."""
    line = [sys.executable, "-m", "mpifl", "doctor", "-n", "2"]
    environment = os.environ | {"MPI4PY_LIBMPI": str(tmp_path / "libmpi.so")}
    done = subprocess.run(
        line,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert rows(done.stdout)["MPI"] == "error"
    assert "A run would not work: MPI." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_folder_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    done = mpifl(tmp_path, "doctor", "none", preloaded=False)
    assert done.returncode == 2
    assert "FOLDER: none: no such folder" in done.stderr
