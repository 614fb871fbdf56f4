"""``mpifl data list``, ``show`` and ``get``: the catalogue of federated data sets."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mpifl.commands.completion import offer_catalogue
from mpifl.commands.exits import end, wrong_input_ends
from mpifl.commands.output import WIDE_COLUMNS, Overwrite, make_folder, standard_output
from mpifl.commands.picture import Picture, check_picture
from mpifl.errors import FAILED, InputError, counted

if TYPE_CHECKING:
    from mpifl.datasets.catalogue.catalogue import Download, Entry
    from mpifl.datasets.catalogue.download import Report

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A name that `mpifl data list` shows.",
        autocompletion=offer_catalogue,
    ),
]
LABEL_COLUMNS = 11


def register(app: typer.Typer) -> None:
    """Add the commands list, show and get."""
    app.command("list")(list_)
    app.command("show")(show)
    app.command("get")(get)


def list_(
    paper: Annotated[
        str | None,
        typer.Option(help="Only what this paper lists: fedscale, fedml, flower or leaf."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Only what has this task, such as classification.")
    ] = None,
) -> None:
    """List data sets: task, clients and samples as published, importer, how to obtain them."""
    from rich import box
    from rich.table import Table

    from mpifl.datasets.catalogue.page import columns

    with wrong_input_ends():
        entries = _chosen(paper, task)

    console = standard_output()
    wide = console.width >= WIDE_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if wide else 0, 0, 0), pad_edge=False)
    headings = ["name", "task", "clients", "samples", "importer", "obtain"]
    if wide:
        headings.append("papers")
    for heading in headings:
        justify: Literal["right", "left"] = "right" if heading in ("clients", "samples") else "left"
        table.add_column(heading, justify=justify, no_wrap=heading not in ("task", "papers"))
    for entry in entries:
        table.add_row(*columns(entry, paper)[: len(headings)])

    console.print(table)
    print(
        f"{counted(len(entries), 'data set')}. Counts are the first that were published,"
        " in parentheses where"
    )
    print("a partitioner makes the clients; `mpifl data show NAME` has them all.")


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME",
            help="A data set in HDF5 (a path: with a dot or a slash in it), or a name that"
            " `mpifl data list` shows.",
            autocompletion=offer_catalogue,
        ),
    ],
    picture: Picture = None,
    overwrite: Overwrite = False,
) -> None:
    """Show what is in a data set, or what the catalogue says of one.

    Of a FILE: clients, samples, labels, licence and source, whether its contents are those that its
    hash names, how large clients are, and how their labels differ. Of a NAME: published counts,
    licence, source, and how to obtain and import it.
    """
    from mpifl.datasets.catalogue.catalogue import find_entry
    from mpifl.datasets.catalogue.page import sections

    with wrong_input_ends():
        if "." in name or os.sep in name:  # as in no name of the catalogue
            from mpifl.commands.data_file import show_file

            check_picture(picture, overwrite)
            show_file(Path(name), picture)
            return
        if picture is not None:
            raise InputError(f"--picture: {name} is no file; name a data set in HDF5")
        entry = find_entry(name)

    console = standard_output()
    console.print(f"{entry.name}: {entry.title}", style="bold", soft_wrap=True)
    for label, texts in sections(entry):
        hang = 4 if len(texts) > 1 else 0
        lines = [
            line for text in texts for line in _wrapped(text, console.width - LABEL_COLUMNS, hang)
        ]
        for row, line in enumerate(lines):
            console.print(f"{label if row == 0 else '':{LABEL_COLUMNS}}{line}", soft_wrap=True)


def get(
    name: NameArgument,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="Folder to write to; default: ./NAME."),
    ] = None,
) -> None:
    """Download a data set, or print the steps to do by hand (exit status 1).

    It is downloaded where its licence allows that and its address is a lasting one.
    """
    from mpifl.datasets.catalogue.catalogue import find_entry
    from mpifl.datasets.catalogue.download import DownloadError
    from mpifl.datasets.catalogue.page import steps

    with wrong_input_ends():
        entry = find_entry(name)
        folder = out or Path(name)
        if not entry.download:
            _end_with_steps(entry)
        make_folder("--out", folder)
        print(_licence(entry))
        try:
            _check_free_space(entry, folder)
            for file in entry.download:
                print(_fetched(file, folder))
        except DownloadError as error:
            end(str(error), FAILED)

    print("next:" if entry.importer else f"nothing imports it: {entry.reason}")
    for step in steps(entry, shlex.quote(str(folder))):
        print(f"  {step}")


def _chosen(paper: str | None, task: str | None) -> list[Entry]:
    """Return the entries that a paper lists and that have a task; None stands for any."""
    from mpifl.datasets.catalogue.catalogue import PAPERS, read_catalogue

    entries = list(read_catalogue().values())
    tasks = sorted({entry_task for entry in entries for entry_task in entry.tasks})
    for option, value, allowed in (("--paper", paper, PAPERS), ("--task", task, tasks)):
        if value is not None and value not in allowed:
            raise InputError(
                f"{option}: {value!r} is not in the catalogue; allowed: {', '.join(allowed)}"
            )

    return [
        entry
        for entry in entries
        if paper in (None, *entry.papers) and task in (None, *entry.tasks)
    ]


def _licence(entry: Entry) -> str:
    address = f", {entry.licence_url}" if entry.licence_url else ""
    return f"{entry.name}: licence {entry.licence}{address}"


def _end_with_steps(entry: Entry) -> None:
    """Print the steps to do by hand on standard error and end the command with exit status 1."""
    from mpifl.datasets.catalogue.page import steps

    print(_licence(entry), file=sys.stderr)
    for number, step in enumerate(steps(entry, "FOLDER"), 1):
        print(f"  {number}. {step}", file=sys.stderr)
    end(
        f"{entry.name} cannot be downloaded by this command;"
        " the steps above are to be done by hand",
        FAILED,
    )


def _check_free_space(entry: Entry, folder: Path) -> None:
    """Raise DownloadError if the files, as far as their sizes are known, do not fit on the disk."""
    from mpifl.datasets.catalogue.download import DownloadError, here_bytes

    sized = [file for file in entry.download if file.bytes]
    missing = sum((file.bytes or 0) - here_bytes(file, folder) for file in sized)
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise DownloadError(
            f"{folder}: {missing:,} bytes are to come, {free:,} are free; make room"
        )


def _fetched(file: Download, folder: Path) -> str:
    """Download one file; return the line that says so."""
    from mpifl.datasets.catalogue.download import fetch

    with _progress(file.name) as report:
        outcome = fetch(file, folder, report)

    path = folder / file.name
    size = path.stat().st_size
    done = "fetched" if outcome == "fetched" else "was there already"
    checked = "SHA-256 is right"
    if not file.sha256:
        checked = "no checksum is known, so its content is not checked"
    return f"{path}: {size:,} bytes, {done}; {checked}"


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Report]:
    """Show a progress bar on standard error; one line where that is not a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True, markup=False, emoji=False)
    hidden = not console.is_terminal
    if hidden:
        print(f"fetching {name}", file=sys.stderr, flush=True)

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        bars = {
            what: progress.add_task(f"{what} {name}", total=None, visible=False)
            for what in ("fetching", "checking")
        }
        yield lambda what, done, total: progress.update(
            bars[what], completed=done, total=total, visible=True
        )


def _wrapped(text: str, width: int, hang: int) -> list[str]:
    """Return a text as lines of at most ``width``; words that are longer, as addresses, stay whole.

    All lines but the first are indented by ``hang`` more.
    """
    indent = len(text) - len(text.lstrip())
    wrapper = textwrap.TextWrapper(max(20, width), break_long_words=False, break_on_hyphens=False)
    wrapper.subsequent_indent = " " * (indent + hang)
    return wrapper.wrap(text)
