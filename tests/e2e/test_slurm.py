"""A real Slurm, started for the test: submit, preempt, requeue, resume to the same bits, and an array of seeds.

The first test writes what docs/slurm.md shows: ``MPIFL_SLURM_LOG=FILE pytest tests/e2e/test_slurm.py`` keeps it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mpifl.cluster.signals import STOPPING
from tests.launching import LIMIT_SECONDS, Finished, held, mpifl, run_job
from tests.slurm.cluster import missing, nodes, slurm

if reason := missing():
    pytest.skip(f"Slurm: {reason}", allow_module_level=True)

ROUNDS = 600 if "MPIFL_SLURM_LOG" in os.environ else 60
JOB = ("quickstart", f"rounds={ROUNDS}", "training.engine=loop", "checkpoint.every=1000")


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The cluster of all tests here; Slurm's commands and ``mpifl slurm --submit`` find it by SLURM_CONF."""
    # Paths of sockets have to be short.
    with (
        slurm(tmp_path_factory.mktemp("slurm")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run that nothing happens to, without Slurm."""
    found = run_job(1, tmp_path_factory.mktemp("undisturbed"), *JOB)
    assert found.status == 0, found.stderr
    return found


def run_of(folder: Path) -> Finished:
    return Finished(0, "", "", folder)


def ask(*line: str) -> str:
    return subprocess.run(
        line, capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS
    ).stdout


def submit(folder: Path, *arguments: str) -> str:
    """``mpifl slurm ... --submit`` in a folder; returns the id of the job."""
    done = mpifl(folder, "slurm", *arguments, "--submit")
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"Submitted batch job (\d+)\n", done.stdout)
    assert found, done.stdout
    return found.group(1)


def state(job: str) -> str:
    """State of a job, and why: RUNNING None."""
    shown = ask("scontrol", "show", "job", job)
    return " ".join(re.search(r"JobState=(\S+) Reason=(\S+)", shown).groups())  # type: ignore[union-attr]


def wait_for(what: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not what():
        assert time.monotonic() < end, log.read_text() if log.exists() else "no log"
        time.sleep(0.1)


def in_round(log: Path, number: int) -> Callable[[], bool]:
    return lambda: log.exists() and f"\nround {number}/" in log.read_text()


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def keep(log: Path, states: list[str]) -> None:
    """The log as docs/slurm.md shows it: of the rounds the first, the last and those around the stop."""
    lines = log.read_text().splitlines()
    rounds = [line.startswith("round ") for line in lines]
    shown, skipped = [], False
    for number, line in enumerate(lines):
        if all(rounds[max(0, number - 1) : number + 2]):
            skipped = True
            continue
        shown += (["..."] if skipped else []) + [line]
        skipped = False
    Path(os.environ["MPIFL_SLURM_LOG"]).write_text("\n".join([*shown, "", *states]) + "\n")


def test_preempted_requeued_and_resumed_to_the_same_bits(
    tmp_path: Path, undisturbed: Finished
) -> None:
    out = tmp_path / "runs" / "quickstart"
    go = tmp_path / "go"
    waits = (
        [] if "MPIFL_SLURM_LOG" in os.environ else held(go, ROUNDS)
    )  # in the log of the docs stands a plain job
    job = submit(tmp_path, *JOB, *waits, "--ntasks-per-node", "3", "--requeue")
    log = tmp_path / f"quickstart-{job}.out"
    states = [state(job)]
    wait_for(in_round(log, 5), log)
    states.append(state(job))
    assert states[-1] == "RUNNING None"
    ask("scancel", "--signal=USR1", "--batch", job)
    wait_for(lambda: STOPPING in log.read_text(), log)
    go.touch()
    wait_for(lambda: "stopped with status 75: requeued" in log.read_text(), log)
    states.append(state(job))
    wait_for(lambda: state(job).startswith("COMPLETED"), log)
    states.append(state(job))
    text = log.read_text()
    assert f"mpifl: {STOPPING}\n" in text
    assert "stopped with status 75: requeued" in text
    assert "start 2: runs/quickstart" in text
    if "MPIFL_SLURM_LOG" in os.environ:
        keep(log, [f"scontrol show job {job}: {found}" for found in states])
    assert 5 <= summary(out)["resumed_from"] < ROUNDS
    assert summary(out)["model_sha256"] == undisturbed.summary["model_sha256"]
    assert (
        run_of(out).table("participants").tobytes() == undisturbed.table("participants").tobytes()
    )
    assert summary(out)["ranks"] == 3


@pytest.mark.skipif(
    len(nodes()) == 1,
    reason="Slurm: one node: no right to give a second one a host name (unshare --uts)",
)
def test_two_nodes_come_to_the_same_bits(tmp_path: Path, undisturbed: Finished) -> None:
    job = submit(tmp_path, *JOB, "--nodes", "2", "--ntasks-per-node", "2")
    wait_for(lambda: state(job).startswith("COMPLETED"), tmp_path / f"quickstart-{job}.out")
    out = tmp_path / "runs" / "quickstart"
    assert json.loads((out / "environment.json").read_text())["ranks_by_host"] == dict.fromkeys(
        nodes(), 2
    )
    assert summary(out)["model_sha256"] == undisturbed.summary["model_sha256"]


def test_an_array_is_one_run_a_seed_with_what_it_asked_for(
    tmp_path: Path, undisturbed: Finished
) -> None:
    asked = ("--ntasks-per-node", "2", "--gpus-per-node", "1", "--mem", "500M")
    job = submit(tmp_path, *JOB, "--array", "1,5", *asked)
    runs = [tmp_path / "runs" / f"quickstart-seed{seed}" for seed in (1, 5)]
    log = tmp_path / f"quickstart-{job}_5.out"
    wait_for(lambda: all((run / "summary.json").exists() for run in runs), log)
    models = [summary(run)["model_sha256"] for run in runs]
    assert [summary(run)["seed"] for run in runs] == [1, 5]
    assert models[0] == undisturbed.summary["model_sha256"]  # the seed of the job file
    assert models[1] != models[0]
    shown = ask("scontrol", "show", "job", f"{job}_5")
    assert "TresPerNode=gres:gpu:1" in shown
    assert "MinMemoryNode=500M" in shown


def test_an_array_is_the_runs_of_a_sweep(tmp_path: Path, undisturbed: Finished) -> None:
    axes = (*JOB, "algorithm=fedprox,fedavg")
    job = submit(tmp_path, "--sweep", *axes, "--ntasks-per-node", "2", "--array", "2")
    log = tmp_path / f"quickstart-{job}_2.out"
    wait_for(lambda: state(f"{job}_2").startswith("COMPLETED"), log)
    run = tmp_path / "sweeps" / "quickstart" / "2_algorithm-fedavg"
    assert summary(run)["ranks"] == 2
    assert summary(run)["model_sha256"] == undisturbed.summary["model_sha256"]
    compared = mpifl(tmp_path, "compare", "sweeps/quickstart")
    assert "1 of 2 runs in sweeps/quickstart not begun" in compared.stdout


def test_the_time_limit_warns_by_itself(tmp_path: Path) -> None:
    """One minute, and a warning 35 s before it: nobody but Slurm sends it.

    mpirun passes on no signal that it gets before its ranks are there, which on a busy machine takes a while.
    """
    job = submit(tmp_path, "quickstart", "rounds=100000", "--time", "1", "--warning-seconds", "35")
    log = tmp_path / f"quickstart-{job}.out"
    wait_for(lambda: state(job).startswith("FAILED"), log)
    assert re.search(r"ExitCode=(75|138):0", ask("scontrol", "show", "job", job))
    assert "submit this script again to go on" in log.read_text()


def test_the_doctor_sees_the_allocation_and_shares_out_its_gpus(tmp_path: Path) -> None:
    lines = [
        "#!/bin/bash",
        "export COLUMNS=250 PRTE_MCA_hwloc_default_binding_policy=none",
        f"{sys.executable} -m mpifl doctor",
    ]
    (tmp_path / "doctor.sbatch").write_text("\n".join(lines) + "\n")
    asked = [
        "--ntasks-per-node=4",
        "--gpus-per-node=2",
        "--output=doctor.out",
        f"--chdir={tmp_path}",
    ]
    ask("sbatch", "--wait", *asked, str(tmp_path / "doctor.sbatch"))
    said = (tmp_path / "doctor.out").read_text()
    assert "1 node, 4 tasks" in said
    assert "mpifl run starts 4 ranks by itself" in said
    assert "(0: 2 ranks, 1: 2 ranks)" in said
    assert "A run would work" in said


def test_what_sbatch_refuses_ends_with_its_words(tmp_path: Path) -> None:
    done = mpifl(tmp_path, "slurm", "quickstart", "--partition", "none", "--submit")
    assert done.returncode == 1
    assert "invalid partition" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_job_is_not_submitted(tmp_path: Path) -> None:
    done = mpifl(tmp_path, "slurm", "quickstart", "population.trace=none.h5", "--submit")
    assert done.returncode == 2
    assert "none.h5" in done.stderr
    assert "none.h5" not in ask("squeue", "-o", "%o")
