"""``mpifl traces``: device traces in HDF5, imported, drawn from a recipe, and shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpifl.commands.completion import offer_traces
from mpifl.commands.exits import wrong_input_ends
from mpifl.commands.formats import REQUIRED, Parameter, command_group, made, with_options
from mpifl.commands.output import Out, Overwrite, check_output, writing
from mpifl.commands.picture import Picture, check_picture
from mpifl.errors import InputError, counted
from mpifl.traces.importers import REGISTRY

if TYPE_CHECKING:
    from mpifl.traces.importers.importer import TraceImporter
    from mpifl.traces.trace import Trace

TRACE_HELP = "A trace in HDF5, a recipe (.yaml), or the name of a recipe that ships with mpifl."
Base = Annotated[
    str,
    typer.Option(
        "--base",
        metavar="TRACE",
        help=f"Trace that supplies what the format lacks. {TRACE_HELP}",
        autocompletion=offer_traces,
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Name of the trace; default: that of the file.")
]

traces = typer.Typer(
    help="Device traces: how fast phones are, and when they are online.", no_args_is_help=True
)


def _command(importer: type[TraceImporter]) -> Callable[..., None]:
    """Return the command of one importer: files, common options, and an option for each field."""

    def command(
        paths: list[Path],
        out: Path,
        base: str,
        name: str | None = None,
        overwrite: bool = False,
        **options: Any,
    ) -> None:
        with wrong_input_ends():
            check_output(out, overwrite, [*paths, Path(base)])
            import_trace(importer, options, paths, out, base, name)

    files = typer.Argument(metavar=importer.files, help="The files to read.")
    common: dict[str, Parameter] = {
        "paths": (Annotated[list[Path], files], REQUIRED),
        "out": (Out, REQUIRED),
        "base": (Base, "phones"),
        "name": (Name, None),
        "overwrite": (Overwrite, False),
    }
    return with_options(command, importer, common)


traces.add_typer(
    typer.Typer(
        cls=command_group(REGISTRY, _command),
        help="Convert files of another format to a trace; a base supplies what they lack.",
        no_args_is_help=True,
    ),
    name="import",
)


def import_trace(
    importer: type[TraceImporter],
    options: dict[str, Any],
    paths: list[Path],
    out: Path,
    base: str,
    name: str | None,
) -> None:
    """Read, complete, check and write a trace, and print which part comes from where.

    Raises InputError; then no file is left.
    """
    from mpifl.traces.importers.parsed_trace import completed, read_trace

    parsed = made(importer, options).read(paths)
    trace, origins = completed(name or out.stem, parsed, read_trace(base))
    _write(out, trace)

    for line in (*origins, *(f"note: {note}" for note in parsed.notes)):
        print(line)
    print(f"written to {out} ({out.stat().st_size / 1e6:,.1f} MB)")


@traces.command()
def synth(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe (.yaml), or the name of one that ships with mpifl.",
            autocompletion=offer_traces,
        ),
    ],
    out: Out,
    phones: Annotated[
        int | None, typer.Option(min=1, help="Number of phones; default: the recipe's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; default: the recipe's.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a trace from a recipe: the same recipe, number and seed give the same trace."""
    from mpifl.io.files import shipped, shipped_names
    from mpifl.traces.synthesis import read_recipe, synthesize

    with wrong_input_ends():
        path = shipped("traces", recipe) or Path(recipe)
        if not path.exists():
            names = ", ".join(shipped_names("traces"))
            raise InputError(f"RECIPE: {recipe!r}: no such file; allowed: {names}, or a file")
        check_output(out, overwrite)

        given = {"phones": phones, "seed": seed}
        changes = {key: value for key, value in given.items() if value is not None}
        trace = synthesize(read_recipe(path).model_copy(update=changes))
        _write(out, trace)

    print(f"{counted(trace.devices, 'phone')}, {counted(len(trace.start), 'slot')}")
    print(f"written to {out} ({out.stat().st_size / 1e6:,.1f} MB)")


@traces.command()
def show(
    trace: Annotated[
        str, typer.Argument(metavar="TRACE", help=TRACE_HELP, autocompletion=offer_traces)
    ],
    picture: Picture = None,
    overwrite: Overwrite = False,
) -> None:
    """Show what is in a trace: counts, quantiles, and the share of phones online by hour."""
    from mpifl.commands.trace_text import print_summary
    from mpifl.traces.importers.parsed_trace import read_trace
    from mpifl.traces.summary import summarise

    with wrong_input_ends():
        check_picture(picture, overwrite)
        opened = read_trace(trace)
        summary = summarise(opened)
        print_summary(opened, summary)

        if picture is not None:
            from mpifl.commands.trace_picture import draw

            draw(picture, opened, summary)
            print(f"drawn to {picture}")


def _write(out: Path, trace: Trace) -> None:
    from mpifl.traces.trace import write_trace

    with writing(out):
        write_trace(out, trace)
