"""The mpifl command as a person uses it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from mpifl.job import load_yaml, parse_job
from tests.launching import mpifl


def test_run_prints_the_line_it_runs_and_that_line_works_as_it_stands(tmp_path: Path) -> None:
    scaffold = "algorithm=scaffold"  # which keeps files of its clients too
    done = mpifl(tmp_path, "run", "-n", "2", "quickstart", "rounds=1", scaffold)
    assert done.returncode == 0, done.stderr
    line = shlex.split(done.stdout.splitlines()[0])
    assert line[-4:] == ["mpifl.run", "quickstart", "rounds=1", scaffold]
    assert line[line.index("-n") + 1] == "2"
    again = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "runs" / "quickstart-2" / "summary.json").exists()
    (tmp_path / "as-the-umask-says").touch()
    usual = (tmp_path / "as-the-umask-says").stat().st_mode
    assert {
        path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_mode != usual
    } == set()


def test_check_prints_the_whole_job_and_that_job_is_the_same(tmp_path: Path) -> None:
    done = mpifl(tmp_path, "check", "quickstart", "rounds=3")
    assert done.returncode == 0
    job = yaml.safe_load(done.stdout)
    assert job["rounds"] == 3
    assert job["population"]["clients"] == 100
    parse_job(load_yaml(done.stdout))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_job_for_a_gpu_would_not_run_here_and_check_says_so_last(tmp_path: Path) -> None:
    done = mpifl(tmp_path, "check", "quickstart", "training.device=cuda")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mpifl: training.device: 'cuda' is not allowed: ")
    assert done.stderr.endswith(
        "; allowed: cpu; nothing else is wrong, so it would run where there is a GPU\n"
    )
    both = mpifl(tmp_path, "check", "quickstart", "training.device=cuda", "training.lr=-1")
    assert "training.lr: -1 is not allowed" in both.stderr
    assert "cuda" not in both.stderr
    script = mpifl(
        tmp_path, "slurm", "quickstart", "training.device=cuda", "--gpus-per-node", "1"
    )  # from a login node
    assert (script.returncode, script.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["quickstart", "--out", "used"],
            "--out: used: not empty; name a new folder, or remove what is there",
        ),
        (["quickstart", "--out", "used/file"], "--out: used/file: is a file; name a new folder"),
        (
            ["quickstart", "--resume", "used"],
            "--resume: used: not empty, and no job.yaml there; name a new folder, or remove what",
        ),
        (
            ["quickstart", "--out", "a", "--resume", "b"],
            "--out: not allowed with --resume, which names the run directory itself",
        ),
        (
            ["--resume", "none"],
            "--resume: none: no job.yaml there, so no run to go on with; name the directory of one, or a",
        ),
        (
            ["rounds=3", "--resume", "none"],
            "--resume: none: no job.yaml there, so no run to go on with",
        ),
        ([], "JOB: missing; name a job file, or a job that ships with mpifl"),
    ],
    ids=str,
)
def test_what_cannot_be_begun_is_told_before_a_rank_is_started(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("precious")
    done = mpifl(tmp_path, "run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")  # no line of mpirun
    assert done.stderr.startswith(f"mpifl: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used"]


def test_version_and_help_are_there(tmp_path: Path) -> None:
    assert mpifl(tmp_path, "--version").stdout.startswith("mpifl ")
    assert "import" in mpifl(tmp_path, "data", "--help").stdout


def test_an_import_of_nothing_says_so_and_writes_nothing(tmp_path: Path) -> None:
    done = mpifl(
        tmp_path, "data", "import", "qmnist", str(tmp_path / "none"), "-o", str(tmp_path / "q.h5")
    )
    assert done.returncode == 2
    assert "none: no such folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["qmnst", ""])
def test_an_unknown_format_lists_the_known_ones(tmp_path: Path, form: str) -> None:
    done = mpifl(tmp_path, "data", "import", form, str(tmp_path), "-o", "x.h5")
    assert done.returncode == 2
    assert "allowed: qmnist" in done.stderr


def test_qmnist_is_imported_by_writer_and_trains(shared: Path, tmp_path: Path) -> None:
    done = mpifl(
        tmp_path, "data", "import", "qmnist", str(shared / "data" / "qmnist"), "-o", "qmnist.h5"
    )
    assert done.returncode == 0, done.stderr
    assert "60,000 samples of 539 clients" in done.stdout
    ran = mpifl(tmp_path, "run", "-n", "3", "qmnist", "rounds=2", "selection.participants=5")
    assert ran.returncode == 0, ran.stderr
    assert "results in runs/qmnist" in ran.stdout
