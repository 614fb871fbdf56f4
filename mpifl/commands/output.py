"""The output of a command: its file, and what it shows.

An existing file is kept unless the user says --force, or yes when asked on a terminal.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors
from mpifl.io.log import Output

if TYPE_CHECKING:
    from rich.console import Console

WIDE_COLUMNS = 100
Out = Annotated[Path, typer.Option("-o", "--out", help="The HDF5 file to write.")]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--force",
        "--overwrite",
        help="Replace the file if it exists; without it, a terminal is asked.",
    ),
]


def check_output(path: Path, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Raise InputError when ``path`` cannot be written, or exists and is to be kept.

    A file that exists is replaced if ``overwrite`` is true, or if the user says so on a terminal;
    one of the ``sources``, which the command reads, never. It is called before any work is done.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written to")
    if path.exists() and any(one.exists() and path.samefile(one) for one in sources):
        raise InputError(f"{path}: is a source of this command and is kept; name another file")
    if path.exists() and not overwrite:
        if not _is_asked():
            raise InputError(f"{path}: exists already; name another file, or say --force")
        if not typer.confirm(f"{path} exists already. Replace it?", err=True):
            raise InputError(f"{path}: kept; name another file")


def _is_asked() -> bool:
    """Return whether somebody is there to answer: a script must not wait for input."""
    return sys.stdin.isatty() and sys.stderr.isatty()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert an OSError of writing to ``path`` to InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def make_folder(option: str, folder: Path) -> None:
    """Make the folder that an option names, where it is missing. Raises InputError, DiskFull."""
    try:
        with disk_full_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option}: {folder}: {error.strerror}; name another folder") from error


def standard_output(least_columns: int = WIDE_COLUMNS) -> Console:
    """Return standard output; at least ``least_columns`` wide where it is not a terminal.

    So no column is cut off in a file or a pipe. A text is printed as it is, without markup.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and console.width < least_columns:
        console.width = least_columns
    return console


def without_escapes(text: str) -> str:
    """Return a text of a foreign file without characters that a terminal would act on."""
    return "".join(char if char.isprintable() else " " if char == "\n" else "?" for char in text)


def output_of_ranks(quiet: bool, verbose: bool) -> Output:
    """Return what ranks are to print: records for a terminal that can be drawn on, else lines.

    Raises InputError for both options at once.
    """
    if quiet and verbose:
        raise InputError("--quiet: not allowed with --verbose")
    if quiet:
        return Output.QUIET
    if not draws():
        return Output.LINES
    return Output.VERBOSE if verbose else Output.LIVE


def draws() -> bool:
    """Return whether standard output is a terminal that can be drawn on (not TERM=dumb)."""
    return sys.stdout.isatty() and "TERM" in os.environ and standard_output().is_interactive
