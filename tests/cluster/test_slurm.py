"""The batch script: what is asked for stands in it, what cannot be is refused, and bash does with it what it says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.cluster.batch_script import script
from mpifl.cluster.slurm import Request, time_seconds
from mpifl.errors import InputError
from tests.launching import LIMIT_SECONDS, python

ROOT = Path(__file__).parents[2]
READY = sorted(
    path for path in (ROOT / "jobs" / "slurm").glob("*.sbatch") if path.stem != "scaling"
)  # not made by it


def asked(text: str) -> dict[str, str]:
    """The options of a script."""
    return {
        name: value
        for name, _, value in (
            line[10:].partition("=") for line in text.splitlines() if line[:10] == "#SBATCH --"
        )
    }


def test_there_is_one_ready_for_every_case() -> None:
    assert [path.stem for path in READY] == [
        "gpus",
        "multi-node",
        "preemptible",
        "seeds",
        "single-node",
        "tinyllama",
    ]


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_the_ready_ones_are_what_the_command_in_them_prints(path: Path) -> None:
    text = path.read_text()
    words = shlex.split(text.splitlines()[1].removeprefix("# "))
    assert words[:2] == ["mpifl", "slurm"]
    done = subprocess.run(
        [*python(), "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.stdout == text


def test_what_is_asked_for_stands_in_it() -> None:
    text = script(
        Request(
            "a job.yaml",
            "my job",
            threads=2,
            overrides=("rounds=3", "clock={mode: all}"),
            nodes=2,
            ntasks_per_node=8,
            cpus_per_task=4,
            time="1-2",
            gpus_per_node=4,
            array="1-5%2",
            requeue=True,
            memory="64G",
            partition="gpu",
            account="me",
            modules=("openmpi/5",),
        )
    )
    assert asked(text) == {
        "job-name": "my-job",
        "partition": "gpu",
        "account": "me",
        "nodes": "2",
        "ntasks-per-node": "8",
        "cpus-per-task": "4",
        "gpus-per-node": "4",
        "mem": "64G",
        "time": "1-2",
        "array": "1-5%2",
        "signal": "B:USR1@120",
        "output": "%x-%A_%a.out",
        "open-mode": "append",
        "requeue": "",
    }
    assert "\nmodule load openmpi/5\n" in text
    assert "\nexport OMP_NUM_THREADS=2\n" in text
    assert "# 2 ranks to a GPU" in text
    assert (
        "'a job.yaml' rounds=3 'clock={mode: all}' seed=\"$SLURM_ARRAY_TASK_ID\" --resume" in text
    )
    assert "scontrol requeue" in text
    assert "scontrol requeue" not in script(Request("a", "a"))


def test_what_a_site_asks_for_stands_in_it_and_an_option_of_ones_own_replaces_the_default() -> None:
    extra = ("--mail-type=END", "--output=logs/%j.out")
    features = "(a100|h100)&nvlink*2"
    text = script(
        Request(
            "a", "a", qos="low", gres="gpu:a100:4", constraint=features, exclusive=True, extra=extra
        )
    )
    options = asked(text)
    assert options["qos"] == "low"
    assert options["gres"] == "gpu:a100:4"
    assert options["constraint"] == features
    assert options["exclusive"] == ""
    assert options["mail-type"] == "END"
    assert options["output"] == "logs/%j.out"
    assert text.count("--output") == 1


def test_a_flower_app_is_started_by_its_own_command() -> None:
    def line(**changes: object) -> str:
        options = ("--supernodes", "9", "--run-config=a=b c")
        request = Request("app", "app", overrides=options, flower=True, array="1-3", **changes)  # type: ignore[arg-type]
        text = script(request)
        assert "\nexport PYTHONHASHSEED=0" in text
        return next(text for text in text.splitlines() if text.endswith(' --resume "$run" &'))

    words = "app --supernodes 9 '--run-config=a=b c' --seed=\"$SLURM_ARRAY_TASK_ID\" --resume"
    assert f'mpifl flower run -n "$SLURM_NTASKS" {words}' in line()
    assert f"python -m mpifl.flower.run {words}" in line(launcher="srun")
    with pytest.raises(InputError, match="not allowed with --array"):
        Request("app", "app", overrides=("--seed=3",), flower=True, array="1-3")
    for option in ("--out", "--out=x", "--resume", "--resu=x"):
        with pytest.raises(InputError, match="the script names the run directory itself"):
            Request("app", "app", overrides=("--supernodes", "9", option, "x"), flower=True)


def test_srun_and_an_image_start_the_ranks_that_mpirun_would() -> None:
    def line(**changes: object) -> str:
        text = script(Request("a", "a", **changes))  # type: ignore[arg-type]
        return next(
            text for text in text.splitlines() if text.endswith(' --resume "$run" &')
        ).strip()

    assert line().startswith('mpifl run -n "$SLURM_NTASKS" a ')
    assert line(image="x.sif").startswith('apptainer exec "$image" mpifl run -n "$SLURM_NTASKS" a ')
    srun = 'srun --mpi="${SLURM_MPI_TYPE:-pmix}" --cpus-per-task="$SLURM_CPUS_PER_TASK"'
    assert line(launcher="srun") == (
        f'{srun} --kill-on-bad-exit=1 python -m mpifl.run a --resume "$run" &'
    )
    both = line(launcher="srun", image="x.sif", gpus_per_node=1)
    assert 'apptainer exec --nv "$image" python -m mpifl.run a ' in both
    assert "source" not in script(Request("a", "a", image="x.sif"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 300),
        ("5:06", 306),
        ("4:00:00", 14400),
        ("1-2", 93600),
        ("1-2:03", 93780),
        ("1-2:03:04", 93784),
    ],
)
def test_a_time_is_read_as_sbatch_reads_it(text: str, seconds: int) -> None:
    assert time_seconds(text) == seconds


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"time": "4h"}, "--time: '4h' is not allowed"),
        ({"time": "2"}, "--time: 2 is not allowed: the warning comes 120 s before"),
        ({"array": "1..5"}, "--array: '1..5' is not allowed"),
        ({"array": "1-2", "overrides": ("seed=3",)}, "seed: not allowed with --array"),
        (
            {"array": "1-13%2", "sweep": (), "runs": 12},
            "--array: '1-13%2' is not allowed: the sweep has runs 1 to 12",
        ),
        ({"array": "0,3", "sweep": (), "runs": 12}, "--array: '0,3' is not allowed"),
        (
            {"gpus_per_node": 4, "ntasks_per_node": 3},
            "--gpus-per-node: 4 is not allowed with 3 ranks",
        ),
        ({"memory": "1\n#SBATCH --exclusive"}, "--mem: "),
        ({"partition": "a b"}, "--partition: 'a b'"),
        ({"qos": "a b"}, "--qos: 'a b'"),
        ({"gres": "gpu;"}, "--gres: 'gpu;'"),
        ({"constraint": "a b"}, "--constraint: 'a b'"),
        ({"extra": ("--x\n#SBATCH --y",)}, "--sbatch: '--x"),
        ({"extra": ("mail-type=END",)}, "--sbatch: 'mail-type=END'"),
        ({"extra": ("--time=5",)}, "--sbatch: '--time=5' is not allowed: `mpifl slurm` writes"),
        ({"image": "x.sif", "nodes": 2}, "--image: not allowed with 2 nodes and --launcher mpirun"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        Request("job", "job", **changes)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_no_text_leaves_its_place(text: str) -> None:
    """Whatever a name, an override or a path holds: bash reads it as one word, and Slurm no option more."""
    made = script(Request(text, text, overrides=(text,), resume=text, made_by=text, activate=text))
    plain = script(Request("a", "a", made_by="x"))
    assert list(asked(made)) == list(asked(plain))
    start = made.index('run -n "$SLURM_NTASKS" ') + len('run -n "$SLURM_NTASKS" ')
    assert shlex.split(made[start : made.index(' --resume "$run" &')]) == [text, text]


def test_bash_reads_every_one() -> None:
    for path in READY:
        subprocess.run(["bash", "-n", str(path)], check=True)


PROGRAMS = {
    # Runs until a signal comes, as mpirun does, and ends as a run does that was interrupted. No `$(`: bash 5.2 may run a trap
    # while it reads one, and then misreads the trap.
    "waits": "trap 'sleep 0.3; exit 75' USR1; for ((n = 0; n < 6000; n++)); do touch started; sleep 0.1; done",
    "ends": "exit {status}",
    "deaf": "touch started; exec sleep 600",
}


def start(folder: Path, program: str, request: Request, **variables: str) -> subprocess.Popen[str]:
    """The script under bash, with an ``mpifl`` and an ``scontrol`` of the test's own on PATH."""
    commands = folder / "bin"
    commands.mkdir()
    for name, body in (("mpifl", program), ("scontrol", 'echo "$@" >requeued')):
        (commands / name).write_text(f"#!/bin/bash\n{body}\n")
        (commands / name).chmod(0o755)
    (commands / "activate").write_text(f'PATH="{commands}:$PATH"\n')
    (folder / "job.sbatch").write_text(script(request))
    slurm = {
        "SLURM_JOB_ID": "7",
        "SLURM_NTASKS": "2",
        "SLURM_CPUS_ON_NODE": "2",
        "SLURM_CPUS_PER_TASK": "1",
    }
    environment = os.environ | slurm | {"SLURM_JOB_NODELIST": "here"} | variables
    return subprocess.Popen(
        ["bash", "job.sbatch"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_a_task_of_a_sweep_runs_what_the_sweep_says(tmp_path: Path) -> None:
    """Task 3 asks for the words of run 3, and starts them, each as one word."""
    program = """
    if [ "$1" = sweep ]; then printf '%s\\n' "a job" "x={y: 1}" --resume "s/3 x"; else printf '%s\\n' "$@"; fi
    printf '%s\\n' "$@" >"$1.words"
    """
    request = Request(
        "a job",
        "a",
        array="1-4",
        sweep=("x=1,2", "seed=1..2"),
        runs=4,
        activate="bin/activate",
        resume="s t",
    )
    run = start(tmp_path, program, request, SLURM_ARRAY_TASK_ID="3")
    said, _ = run.communicate(timeout=LIMIT_SECONDS)
    assert run.returncode == 0
    assert (tmp_path / "sweep.words").read_text().splitlines() == [
        *("sweep", "a job", "x=1,2", "seed=1..2", "--resume", "s t", "--arguments", "3")
    ]
    assert said.splitlines()[1:] == ["run", "-n", "2", "a job", "x={y: 1}", "--resume", "s/3 x"]
    assert said.splitlines()[0].endswith(" start 1: s/3 x")


def test_a_task_of_a_sweep_that_is_wrong_starts_nothing(tmp_path: Path) -> None:
    request = Request(
        "a", "a", array="1-4", sweep=(), runs=4, activate="bin/activate", requeue=True
    )
    run = start(tmp_path, 'touch "$1"; exit 2', request, SLURM_ARRAY_TASK_ID="3")
    run.communicate(timeout=LIMIT_SECONDS)
    assert run.returncode == 2
    assert (tmp_path / "sweep").exists()
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "requeued").exists()


def waits(pid: int) -> bool:
    """Whether a process sleeps: bash, which has nothing else to wait for, does for what it has started."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("requeue", [True, False])
@pytest.mark.parametrize(("program", "status"), [("waits", 75), ("deaf", 138)])
def test_a_warning_is_passed_on_and_waited_for(
    tmp_path: Path, program: str, status: int, requeue: bool
) -> None:
    run = start(
        tmp_path, PROGRAMS[program], Request("j", "j", requeue=requeue, activate="bin/activate")
    )
    while not ((tmp_path / "started").exists() and waits(run.pid)):
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGUSR1)  # to bash alone, as --signal=B: does
    said, _ = run.communicate(timeout=LIMIT_SECONDS)
    assert run.returncode == status
    assert (tmp_path / "requeued").exists() == requeue
    if requeue:
        assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert f"stopped with status {status}" in said


@pytest.mark.parametrize("status", [0, 1, 2, 137])
def test_what_is_done_or_wrong_is_not_requeued(tmp_path: Path, status: int) -> None:
    run = start(
        tmp_path,
        PROGRAMS["ends"].format(status=status),
        Request("j", "j", requeue=True, activate="bin/activate"),
    )
    run.communicate(timeout=LIMIT_SECONDS)
    assert run.returncode == status
    assert not (tmp_path / "requeued").exists()
