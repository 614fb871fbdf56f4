"""The ``mpifl`` command. What needs torch or MPI is imported where it is used, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mpifl import __version__
from mpifl.errors import FAILED, WRONG_INPUT, InputError

if TYPE_CHECKING:
    from mpifl.experiment import Timed

app = typer.Typer(
    help="Federated learning over millions of emulated phones, on an MPI allocation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Federated data sets in HDF5.", no_args_is_help=True)
app.add_typer(data, name="data")

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job file, or the name of a job that ships with mpifl.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Changes to the job.", show_default=False)
]


@app.command()
def run(
    job: JobArgument,
    overrides: Overrides = None,
    ranks: Annotated[int | None, typer.Option("-n", min=1, help="Ranks; default: one a core and rank 0.")] = None,
    out: Annotated[str | None, typer.Option(help="Run directory to make; default: runs/NAME.")] = None,
) -> None:
    """Check a job, then run it under mpirun; prints the mpirun line."""
    from mpifl.mpi.launch import LaunchError, command, default_ranks
    from mpifl.record.progress import VARIABLE

    _check(job, overrides)
    arguments = [job, *(overrides or []), *(["--out", out] if out is not None else [])]
    environment = dict(os.environ)
    if sys.stdout.isatty():
        environment.setdefault(VARIABLE, "bar")
        environment.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))
    try:
        line = command(ranks or default_ranks(environment), arguments, environment)
    except LaunchError as error:
        _end(str(error), FAILED)
    print(shlex.join(line), flush=True)
    os.execvpe(line[0], line, environment)  # noqa: S606  (mpirun takes this process over, signals and status included)


@app.command()
def check(job: JobArgument, overrides: Overrides = None) -> None:
    """Check a job and everything it needs, and print it with every default written out."""
    from mpifl.job import dump_job

    print(dump_job(_check(job, overrides).job), end="")


@data.command(name="import")
def import_(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="qmnist")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Where the data lies.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The HDF5 file to write.")],
) -> None:
    """Turn data that lies on disk into a federated data set in HDF5."""
    from mpifl.population.dataset import check_dataset, write_dataset
    from mpifl.population.importers import REGISTRY

    if form not in REGISTRY:
        _end(f"FORMAT: {form!r} is not known; allowed: {', '.join(REGISTRY)}", WRONG_INPUT)
    module, _, function = REGISTRY[form].partition(":")
    try:
        found = getattr(importlib.import_module(module), function)(source)
        check_dataset(source, found)
        write_dataset(out, found)
    except InputError as error:
        _end(str(error), WRONG_INPUT)
    for name, part in (("train", found.train), ("test", found.test)):
        print(f"{name}: {len(part.y)} samples of {part.clients} clients")
    print(f"written to {out}")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Federated learning over millions of emulated phones, on an MPI allocation."""
    if show:
        print(f"mpifl {__version__}")
        raise typer.Exit


def _check(job: str, overrides: list[str] | None) -> Timed:
    from mpifl.setup import check

    try:
        return check(job, overrides or [])[0]
    except InputError as error:
        _end(str(error), WRONG_INPUT)


def _end(message: str, status: int) -> NoReturn:
    print(f"mpifl: {message}", file=sys.stderr)
    sys.exit(status)


def main() -> None:
    """Entry point of the ``mpifl`` console script."""
    app()


if __name__ == "__main__":
    main()
