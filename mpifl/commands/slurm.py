"""``mpifl slurm``: the batch script of a job, printed or submitted."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpifl.commands.completion import offer_overrides
from mpifl.commands.exits import end, wrong_input_ends
from mpifl.commands.job_arguments import JobArgument
from mpifl.errors import FAILED, InputError, counted

if TYPE_CHECKING:
    from mpifl.cluster.slurm import Launcher
    from mpifl.job import Job
    from mpifl.sweeps.index import Index

FOLDER = "sweeps"


def slurm(
    job: JobArgument,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SECTION.KEY=VALUE",
            help="Changes to the job; with --sweep its axes, as `mpifl sweep` takes them; of a"
            " Flower app, behind --, options of `mpifl flower run`.",
            show_default=False,
            autocompletion=offer_overrides,
        ),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="An array of all runs of a sweep over the axes.")
    ] = False,
    random: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="With --sweep: draw N points instead of all combinations."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="With --random: seed of the draws; default: 0.")
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
        str | None,
        typer.Option(
            metavar="SEEDS",
            help="One run a seed: 1-5, 1,3,7, 1-20%4; with --sweep, which of its runs.",
        ),
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
    qos: Annotated[str | None, typer.Option(help="Quality of service.")] = None,
    gres: Annotated[
        str | None, typer.Option(help="Generic resources of a node, such as gpu:a100:4.")
    ] = None,
    constraint: Annotated[
        str | None, typer.Option(help="Features that nodes must have, such as 'a100|h100'.")
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Share nodes with no job.")
    ] = False,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION",
            help="Another option of sbatch, such as --sbatch=--mail-type=END; may be repeated.",
        ),
    ] = None,
    launcher: Annotated[
        str, typer.Option(help="What starts the ranks: mpirun, or srun (by PMIx).")
    ] = "mpirun",
    image: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="An Apptainer image (.sif) that mpifl is run from."),
    ] = None,
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
        typer.Option(
            help="Run directory, made if it does not exist; default: runs/NAME; with --sweep its"
            " folder, sweeps/NAME."
        ),
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
    """Print the batch script of a job, or of a Flower app (its folder), or submit it."""
    from mpifl.cluster.batch_script import script
    from mpifl.cluster.slurm import Request
    from mpifl.flower.app import is_app

    with wrong_input_ends():
        texts = tuple(overrides or ())
        flower = is_app(job)
        if flower and (sweep or random is not None):
            raise InputError("--sweep: not allowed with a Flower app; allowed: --array, of seeds")
        points = None if flower else _asked(job, texts, sweep, random, seed)
        checked = None if flower else _checked(job, texts, points, submit)
        name = _checked_app(job, texts) if checked is None else checked.name
        threads = 1 if checked is None else checked.training.threads
        request = Request(
            job=job,
            name=name,
            threads=threads,
            overrides=texts,
            nodes=nodes,
            ntasks_per_node=ntasks_per_node,
            cpus_per_task=cpus_per_task or threads,
            time=time,
            gpus_per_node=gpus_per_node,
            array=f"1-{len(points.runs)}" if points is not None and array is None else array,
            requeue=requeue,
            memory=mem,
            partition=partition,
            account=account,
            warning_seconds=warning_seconds,
            resume=resume,
            modules=tuple(module or ()),
            activate="" if image is not None else _activate(venv, submit),
            made_by=shlex.join(["mpifl", *(word for word in sys.argv[1:] if word != "--submit")]),
            sweep=None if points is None else _sweep_words(texts, random, seed),
            runs=0 if points is None else len(points.runs),
            qos=qos,
            gres=gres,
            constraint=constraint,
            exclusive=exclusive,
            extra=tuple(sbatch or ()),
            launcher=_launcher(launcher),
            image=image,
            flower=flower,
        )
        text = script(request)
        if points is not None:
            _prepare(points, resume or f"{FOLDER}/{name}", submit)

    if gpus_per_node and checked is not None and checked.training.device != "cuda":
        print(
            "mpifl: note: the job trains on cores; training.device=cuda trains on the GPUs",
            file=sys.stderr,
        )
    if submit:
        _submit(text)
    else:
        print(text, end="")


def _asked(
    job: str, axes: Sequence[str], sweep: bool, random: int | None, seed: int | None
) -> Index | None:
    """Return the index of the sweep that is asked for; None for a single job or seeds.

    Raises InputError.
    """
    from mpifl.sweeps.index import Random, make_index

    if random is not None and not sweep:
        raise InputError("--random: needs --sweep")
    if seed is not None and random is None:
        raise InputError("--seed: is of --random; the job's seeds are --array, or seed=1..3")
    if not sweep:
        return None
    return make_index(job, axes, None if random is None else Random(points=random, seed=seed or 0))


def _checked(job: str, overrides: Sequence[str], points: Index | None, whole: bool) -> Job:
    """Return the job, or the first of a sweep; ``whole``: check data and trace now, too.

    Then errors appear before the job is in the queue. Raises InputError.
    """
    from mpifl.job import read_job
    from mpifl.rounds.experiment.build_experiment import check_job
    from mpifl.sweeps.folder import check_runs

    if points is not None:
        return check_runs(points, whole)[0]
    checked = read_job(job, overrides)
    if whole:
        check_job(job, overrides)
    return checked


def _checked_app(app: str, options: Sequence[str]) -> str:
    """Return the name of the run of a Flower app. Raises InputError where it could not begin."""
    from mpifl.flower.begin import check

    return check([app, *options]).name


def _sweep_words(axes: Sequence[str], random: int | None, seed: int | None) -> tuple[str, ...]:
    """Return the words of `mpifl sweep JOB` that describe the same sweep."""
    drawn = () if random is None else ("--random", str(random), "--seed", str(seed or 0))
    return (*axes, *drawn)


def _prepare(points: Index, folder: str, submit: bool) -> None:
    """Make the sweep's folder when it is submitted, so that later changes of the job are noticed.

    Raises InputError when there is another sweep.
    """
    from mpifl.sweeps.folder import begun_by_one, existing

    if submit:
        begun_by_one(Path(folder), points)
    else:
        existing(Path(folder), points)
    print(f"mpifl: note: {counted(len(points.runs), 'run')} in {folder}", file=sys.stderr)


def _launcher(name: str) -> Launcher:
    """Return the launcher of that name. Raises InputError."""
    if name == "mpirun":
        return "mpirun"
    if name == "srun":
        return "srun"
    raise InputError(f"--launcher: {name!r} is not known; allowed: mpirun, srun")


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
        end(f"sbatch: status {done.returncode}, so nothing was submitted", FAILED)
