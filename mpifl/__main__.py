"""The ``mpifl`` command.

Modules that need torch or MPI are imported where they are used, so that ``--help`` is quick.
"""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mpifl import __version__
from mpifl.commands.compare import compare
from mpifl.commands.completion import offer_jobs, offer_overrides
from mpifl.commands.contribution import contribution
from mpifl.commands.data import data
from mpifl.commands.doctor import doctor
from mpifl.commands.exits import end, run_commands, wrong_input_ends
from mpifl.commands.flower import flower
from mpifl.commands.invert import invert
from mpifl.commands.job_arguments import JobArgument, Overrides
from mpifl.commands.output import Overwrite
from mpifl.commands.picture import Picture, check_picture
from mpifl.commands.report import report
from mpifl.commands.slurm import slurm
from mpifl.commands.sweep import sweep
from mpifl.commands.traces import traces
from mpifl.commands.watch import watch
from mpifl.errors import FAILED, InputError
from mpifl.io.remembered import VERIFY_HELP, forget

if TYPE_CHECKING:
    from mpifl.rounds.experiment.experiment import TimingExperiment

RARELY = 50_000
"""New objects between two collections of garbage: each looks at all that is being loaded."""

Verify = Annotated[bool, typer.Option("--verify", help=VERIFY_HELP.capitalize() + ".")]

app = typer.Typer(
    help="Federated learning over millions of emulated phones, on an MPI allocation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="JOB",
            help="A job file, or the name of a job that ships with mpifl; not needed to --resume.",
            autocompletion=offer_jobs,
        ),
    ] = None,
    overrides: Overrides = None,
    ranks: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            metavar="N",
            help="MPI ranks to start; default: one for each core, and rank 0, which aggregates.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Run directory to make; default: runs/NAME, or NAME-2, ... if there is one.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Run directory to resume; made if it does not exist."),
    ] = None,
    verify: Verify = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Show only warnings, errors, the final scores and the run directory.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="On a terminal, also print a line for each round, as in a file."
        ),
    ] = False,
) -> None:
    """Check a job, then run it under mpirun; print the mpirun line.

    A terminal shows how far the run is. Into a file or a pipe goes a line for each round.
    """
    from mpifl.commands.output import output_of_ranks
    from mpifl.io.log import OUTPUT, Output
    from mpifl.io.verified import for_the_ranks
    from mpifl.job.read import MORE
    from mpifl.mpi.launch import LaunchError, command, default_ranks
    from mpifl.state.resume import check_asked, has_run, job_and_overrides

    job, changes = job_and_overrides(job, overrides or [])
    with wrong_input_ends():
        output = output_of_ranks(quiet, verbose)
        check_asked(job, out, resume)
    if verify:
        forget()
    if job is not None:
        extends = has_run(resume)
        _check(job, [change for change in changes if not (extends and change.startswith(MORE))])

    given = {"--out": out, "--resume": resume}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    options += ["--verify"] if verify else []
    arguments = [*([job] if job is not None else []), *changes, *options]
    os.environ |= for_the_ranks() | {OUTPUT: output}
    try:
        line = command(ranks or default_ranks(os.environ), arguments, os.environ)
    except LaunchError as error:
        end(str(error), FAILED)

    if output is not Output.QUIET:
        print(shlex.join(line), flush=True)
    # Replace this process: the one that attends the run needs nothing that was loaded so far.
    os.execv(sys.executable, [sys.executable, "-m", "mpifl.commands.attend", *line])  # noqa: S606


@app.command()
def check(
    job: JobArgument,
    overrides: Overrides = None,
    picture: Picture = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION.KEY=VALUE",
            autocompletion=offer_overrides,
            help="Also show the clients of the job with this change, beside those of the job; may"
            " be repeated.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    verify: Verify = False,
) -> None:
    """Check that a job would run here, with everything it needs.

    Print the job with every default written out, and as comments what its clients hold, what it
    will take, and how many clients and updates its rounds can expect. A picture shows how many
    samples its clients hold, and of which labels, after its partition and split.
    """
    from mpifl.commands.check_data import held_by
    from mpifl.job import dump_job
    from mpifl.kernels.notice import say_when_compiling
    from mpifl.rounds.experiment.demands import demands
    from mpifl.rounds.experiment.prospects import prospects
    from mpifl.state.resume import check_device_of

    changes = overrides or []
    with wrong_input_ends():
        check_picture(picture, overwrite)
    if verify:
        forget()
    experiment = _check(job, changes)
    with wrong_input_ends():
        try:
            check_device_of(experiment)
        except InputError as error:
            raise InputError(
                f"{error}; nothing else is wrong, so it would run where there is a GPU"
            ) from error
        say_when_compiling()
        expected = prospects(experiment)
        held = held_by(job, changes, against or [], experiment.population, picture)
    print(dump_job(experiment.job), end="")
    for line in (*held, *demands(experiment), *expected):
        print(f"# {line}")


# In the order in which --help lists them, after run and check.
for command in (sweep, watch, report, compare, contribution, invert, slurm, doctor):
    app.command()(command)
app.add_typer(data, name="data")
app.add_typer(traces, name="traces")
app.add_typer(flower, name="flower")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Federated learning over millions of emulated phones, on an MPI allocation."""
    if show:
        print(f"mpifl {__version__}")
        raise typer.Exit


def _check(job: str, overrides: Sequence[str]) -> TimingExperiment:
    """Return the experiment of a job; end the command when the job or an input is wrong."""
    from mpifl.rounds.experiment.build_experiment import check_job

    with wrong_input_ends():
        return check_job(job, overrides)[0]


def main() -> None:
    """Entry point of the ``mpifl`` console script."""
    gc.set_threshold(RARELY)
    try:
        with wrong_input_ends():  # of what a command imports
            run_commands(app)
    finally:
        gc.freeze()  # else Python's last collection takes half a second over what torch has made


if __name__ == "__main__":
    main()
