"""``mpifl compare``: runs side by side, as a table in the terminal, as CSV and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpifl.commands.exits import wrong_input_ends
from mpifl.commands.output import Overwrite, check_output, standard_output
from mpifl.errors import InputError, counted

if TYPE_CHECKING:
    from rich.table import Table

    from mpifl.record.load import Run
    from mpifl.report.comparison import Comparison

MOST_NAMED = 10
"""How many runs that are not complete are named."""

SPACE = 2
"""Columns of the terminal between two columns of the table."""

Column = list[str]
"""The heading of a column of the table, and its cells."""

PIPE_COLUMNS = 1000
"""The width of the table where the output is not a terminal: as wide as it needs."""


def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Run directories, and folders of those: a sweep's."),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC=NUMBER",
            help="Also show what it took to reach this: accuracy=0.9, loss=0.3.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="The metric to compare; default: the target's, or the task's main one."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the numbers in full, as CSV.")
    ] = None,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table for LaTeX (booktabs).")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare runs; those that differ only in the seed are one row, with mean and deviation."""
    from mpifl.io.files import write_text
    from mpifl.report.compared import open_runs
    from mpifl.report.comparison import compare
    from mpifl.report.comparison_text import csv_text, latex_text
    from mpifl.report.target import parse_target

    with wrong_input_ends():
        for path in (csv, latex):
            if path is not None:
                check_output(path, overwrite)
        runs = open_runs(paths)
        found = compare(runs, metric, None if target is None else parse_target(target))
        _print(found)
        for line in _notes(paths, runs, found):
            print(line)

        for path, text in ((csv, csv_text), (latex, latex_text)):
            if path is not None:
                write_text(path, text(found))
                print(f"written to {path}")


def _print(comparison: Comparison) -> None:
    """Print the table; on a terminal that is too narrow, its columns one below the other."""
    from mpifl.report.comparison_text import cells, leading

    console = standard_output(PIPE_COLUMNS)
    headings, rows = cells(comparison)
    columns = [
        [heading.replace(" ", "\n", 1), *(row[number] for row in rows)]
        for number, heading in enumerate(headings)
    ]
    names = columns[: leading(comparison)]
    for number, part in enumerate(_parts(names, columns[len(names) :], console.width)):
        if number:
            console.print()
        console.print(_table(names, part))


def _parts(names: list[Column], numbers: list[Column], width: int) -> list[list[Column]]:
    """Return the columns with numbers in parts, each of which fits beside the ``names``."""
    room = width - sum(map(_width, names))
    parts: list[list[Column]] = [[]]
    for column in numbers:
        if parts[-1] and sum(map(_width, [*parts[-1], column])) > room:
            parts.append([])
        parts[-1].append(column)
    return parts


def _width(column: Column) -> int:
    """Return the width of a column and the space after it."""
    return max(len(line) for cell in column for line in cell.split("\n")) + SPACE


def _table(names: list[Column], numbers: list[Column]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, SPACE - 1, 0, 0),
        collapse_padding=True,
    )
    for heading, *_ in names:
        table.add_column(heading, vertical="bottom", overflow="fold")
    for heading, *_ in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in zip(*(column[1:] for column in [*names, *numbers]), strict=True):
        table.add_row(*row)
    return table


def _notes(paths: Sequence[Path], runs: Sequence[Run], comparison: Comparison) -> list[str]:
    """Return the lines below the table: what the numbers are of, and which runs are missing."""
    from mpifl.record.load import lacking

    lines = []
    if any(row.complete > 1 for row in comparison.rows):
        lines.append("mean ± standard deviation over the seeds of each row")
    lines += [f"of {metric} the lower value is the better one" for metric in comparison.lower]

    lines += lacking(runs)
    unfinished = [run for run in runs if not run.complete]
    lines += [
        f"not complete, so not counted: {run.folder} ({_progress(run)})"
        for run in unfinished[:MOST_NAMED]
    ]
    if len(unfinished) > MOST_NAMED:
        lines.append(f"and {counted(len(unfinished) - MOST_NAMED, 'run')} more")
    return [*lines, *(line for path in paths for line in _not_begun(path))]


def _progress(run: Run) -> str:
    """Return how far a run is that is not complete.

    The last round of one that a signal has stopped may wait for its test, and is not in run.h5.
    """
    from mpifl.record.status import read_status

    try:
        done = len(run.rounds)
    except InputError:
        done = 0
    status = read_status(run.folder)
    if status is not None and status.state == "stopped":
        done = max(done, status.stopped_after or 0)
    return f"{done:,} of {counted(run.job['rounds'], 'round')}"


def _not_begun(path: Path) -> list[str]:
    """Return the line about runs of a sweep that have not begun, if there are any."""
    from mpifl.record.run_folders import is_run
    from mpifl.sweeps.index import has_index, read_index

    if not has_index(path):
        return []
    entries = read_index(path).runs
    missing = sum(not is_run(path / entry.folder) for entry in entries)
    if not missing:
        return []
    return [f"{missing} of {counted(len(entries), 'run')} in {path} not begun"]
