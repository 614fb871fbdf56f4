"""``mpifl sweep``: one job with many settings, run side by side or one after the other."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from mpifl.commands.completion import offer_jobs, offer_overrides
from mpifl.commands.exits import end, wrong_input_ends
from mpifl.errors import FAILED, INTERRUPTED, InputError

if TYPE_CHECKING:
    from mpifl.sweeps.index import Index
    from mpifl.sweeps.running import Launch

AXES_HELP = (
    "Keys of the job with their values: training.lr=0.1,0.05, seed=1..3; tied keys:"
    " a=1,2+b=3,4; with --random also 'a=log(0.001..1)' and 'a=uniform(0..1)'. Of a Flower app:"
    " options of `mpifl flower run`, such as supernodes=100, and run-config.KEY=0.1,0.2."
)


def sweep(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB]",
            help="A job file, the name of a shipped job, or the folder of a Flower app;"
            " not needed to --resume.",
            autocompletion=offer_jobs,
        ),
    ] = None,
    axes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE,VALUE",
            help=AXES_HELP,
            show_default=False,
            autocompletion=offer_overrides,
        ),
    ] = None,
    ranks: Annotated[
        int | None,
        typer.Option("-n", min=1, help="Ranks of each run; default: so that the runs share cores."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    out: Annotated[
        str | None, typer.Option(help="Folder to make; default: sweeps/NAME.", show_default=False)
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Folder to go on in: what is not done is started, continued or tried again; made"
            " if it does not exist.",
            show_default=False,
        ),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Draw N points instead of all combinations."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="With --random: seed of the draws; default: 0.")
    ] = None,
    arguments: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Run nothing: print what `mpifl run`, or `mpifl flower run`, needs for this run, a"
            " word a line.",
        ),
    ] = None,
) -> None:
    """Run a job with many settings, each in a run directory of its own in one folder.

    It can be resumed.
    """
    from mpifl.state.resume import job_and_overrides
    from mpifl.sweeps.folder import open_sweep
    from mpifl.sweeps.index import Random, make_index

    job, texts = job_and_overrides(job, axes or [])
    with wrong_input_ends():
        if seed is not None and random is None:
            raise InputError("--seed: is of --random; the job's seeds are an axis: seed=1..3")
        drawn = None if random is None else Random(points=random, seed=seed or 0)
        if job is None and texts:
            raise InputError("JOB: missing; axes need the job that they change")
        asked = None if job is None else make_index(job, texts, drawn)
        if asked is not None and arguments is not None:
            asked.arguments(arguments, Path(resume or out or asked.job))  # before a folder is made
        folder, index = open_sweep(asked, out, resume)
        if arguments is not None:
            _check_here(folder, index)
            print(*index.arguments(arguments, folder), sep="\n")
            return
        sys.exit(_run(folder, index, ranks, parallel))


def _check_here(folder: Path, index: Index) -> None:
    """Raise InputError when this is not the folder in which the sweep was made."""
    if os.path.realpath(index.directory) != os.path.realpath(os.getcwd()):
        raise InputError(
            f"--arguments: {folder} was made in {index.directory}, to which paths in its job may"
            " be relative; go there"
        )


def _run(folder: Path, index: Index, ranks: int | None, parallel: int) -> int:
    """Run what is not done yet; return the exit status."""
    from mpifl.commands.sweep_lines import SweepLines
    from mpifl.io.files import locked
    from mpifl.sweeps.index import INDEX
    from mpifl.sweeps.outcome import is_done
    from mpifl.sweeps.running import run_all

    launch, each = _launch(ranks, parallel, index.program)
    runs = list(enumerate(index.runs, 1))
    left = [number for number, entry in runs if not is_done(folder / entry.folder)]
    with _opened(folder / INDEX) as index_file:
        if not locked(index_file):
            raise InputError(f"{folder}: another sweep is running there; wait for it, or end it")
        lines = SweepLines(folder, total=len(index.runs), done=len(index.runs) - len(left))
        if left:
            lines.begin(each, parallel)
        with lines:
            stopped = run_all(folder, index, left, launch, lines)

    lines.end()
    if lines.failed:
        return FAILED
    not_done = lines.done < len(index.runs)
    return INTERRUPTED if stopped or not_done else 0


def _opened(path: Path) -> IO[bytes]:
    """Return a file that can be locked. Raises InputError when it cannot be written to."""
    try:
        return open(path, "rb+")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _launch(ranks: int | None, parallel: int, program: str) -> tuple[Launch, int]:
    """Return how runs of a program are started, and the ranks of each; end without an MPI."""
    from mpifl.io.verified import for_the_ranks
    from mpifl.mpi.launch import LaunchError, command, default_ranks
    from mpifl.sweeps.apps import PROGRAM as APPS
    from mpifl.sweeps.running import Launch, ranks_of_each

    each = ranks or ranks_of_each(default_ranks(os.environ), parallel)
    environment = for_the_ranks()
    if program == APPS:
        environment["PYTHONHASHSEED"] = os.environ.get("PYTHONHASHSEED", "0")  # as under flower run
    if parallel > 1:
        # Each mpirun would bind its ranks to the first cores of the machine.
        environment["PRTE_MCA_hwloc_default_binding_policy"] = "none"
    try:
        start = command(each, [], os.environ, program)
    except LaunchError as error:
        end(str(error), FAILED)
    return Launch(lambda arguments: [*start, *arguments], parallel, environment), each
