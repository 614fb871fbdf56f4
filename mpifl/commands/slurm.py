"""``mpifl slurm``: the batch script of a job, printed or submitted."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mpifl.commands.exits import end, wrong_input_ends
from mpifl.errors import FAILED, InputError


def slurm(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="A job file, or the name of a job that ships with mpifl."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SECTION.KEY=VALUE]...", help="Changes to the job.", show_default=False
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes.")] = 1,
    ntasks_per_node: Annotated[
        int, typer.Option(min=1, help="Ranks on each node; rank 0 aggregates, the others train.")
    ] = 1,
    cpus_per_task: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cores of a rank; default: the job's training.threads.", show_default=False
        ),
    ] = None,
    time: Annotated[
        str, typer.Option(help="Time limit, as sbatch takes it: minutes, h:mm:ss, d-hh:mm:ss.")
    ] = "1:00:00",
    gpus_per_node: Annotated[
        int, typer.Option(min=0, help="GPUs of each node; its ranks share them evenly.")
    ] = 0,
    array: Annotated[
        str | None, typer.Option(metavar="SEEDS", help="One run a seed: 1-5, 1,3,7, 1-20%4.")
    ] = None,
    requeue: Annotated[
        bool,
        typer.Option("--requeue", help="Requeue and resume after a time limit or preemption."),
    ] = False,
    mem: Annotated[
        str | None,
        typer.Option(help="Memory of a node, such as 64G; 0 is all; default: the site's."),
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Account.")] = None,
    warning_seconds: Annotated[
        int,
        typer.Option(
            min=1,
            max=65535,
            help="How long before the limit the run is told to end; more than a round takes.",
        ),
    ] = 120,
    resume: Annotated[
        str | None,
        typer.Option(help="Run directory, made if it does not exist; default: runs/NAME."),
    ] = None,
    module: Annotated[
        list[str] | None, typer.Option(help="A module to load; may be repeated.")
    ] = None,
    venv: Annotated[
        Path | None, typer.Option(help="mpifl's virtual environment; default: this one.")
    ] = None,
    submit: Annotated[
        bool,
        typer.Option(
            "--submit", help="Check the whole job and submit it; else the script is printed."
        ),
    ] = False,
) -> None:
    """Print the batch script of a job, or submit it."""
    from mpifl.cluster.slurm import Request, script
    from mpifl.job import read_job

    with wrong_input_ends():
        checked = read_job(job, overrides or [])
        if submit:
            _check_whole(job, overrides or [])

        words = [word for word in sys.argv[1:] if word != "--submit"]
        request = Request(
            job=job,
            name=checked.name,
            threads=checked.training.threads,
            overrides=tuple(overrides or ()),
            nodes=nodes,
            ntasks_per_node=ntasks_per_node,
            cpus_per_task=cpus_per_task or checked.training.threads,
            time=time,
            gpus_per_node=gpus_per_node,
            array=array,
            requeue=requeue,
            memory=mem,
            partition=partition,
            account=account,
            warning_seconds=warning_seconds,
            resume=resume,
            modules=tuple(module or ()),
            activate=_activate(venv, submit),
            made_by=shlex.join(["mpifl", *words]),
        )
        text = script(request)

    if gpus_per_node and checked.training.device != "cuda":
        print(
            "mpifl: note: the job trains on cores; training.device=cuda trains on the GPUs",
            file=sys.stderr,
        )
    if submit:
        _submit(text)
    else:
        print(text, end="")


def _check_whole(job: str, overrides: list[str]) -> None:
    """Check the job, its data and trace now, not when it leaves the queue. Raises InputError."""
    from mpifl.rounds.build_experiment import check_job

    check_job(job, overrides)


def _activate(venv: Path | None, look: bool) -> str:
    """Return the path of the environment's activate script. Raises InputError if there is none.

    Without ``look`` the user's ``venv`` is not looked for: it may be on another host, or relative
    to the folder where the script will be submitted.
    """
    path = (venv or Path(sys.prefix)) / "bin" / "activate"
    if (look or venv is None) and not path.is_file():
        problem = (
            f"{venv}: there is no bin/activate"
            if venv
            else "missing, and mpifl does not run in a virtual environment"
        )
        raise InputError(
            f"--venv: {problem}; name the virtual environment that mpifl is installed in"
        )
    return str(path)


def _submit(text: str) -> None:
    """Pass a script to sbatch, which prints its answer; end the command if it refuses."""
    try:
        done = subprocess.run(["sbatch"], input=text, text=True, check=False)
    except FileNotFoundError:
        end(
            "sbatch: not found, so nothing was submitted; leave out --submit, and submit the"
            " printed script on a login node",
            FAILED,
        )
    if done.returncode:
        sys.exit(FAILED)
