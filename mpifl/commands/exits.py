"""How a command ends after an error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import typer

from mpifl.errors import FAILED, WRONG_INPUT, InputError, TrainingError


def end(message: str, status: int) -> NoReturn:
    """Print one line to standard error and exit with ``status``."""
    print(f"mpifl: {message}", file=sys.stderr)
    sys.exit(status)


def end_wrong(error: InputError) -> NoReturn:
    """Print each line of the error to standard error and exit with status 2."""
    print(error.within("mpifl"), file=sys.stderr)
    sys.exit(WRONG_INPUT)


@contextlib.contextmanager
def wrong_input_ends() -> Iterator[None]:
    """End the command with status 2 on InputError in the block, and 1 on TrainingError.

    In a command the latter is a full disk.
    """
    try:
        yield
    except InputError as error:
        end_wrong(error)
    except TrainingError as error:
        end(str(error), FAILED)


def run_commands(app: typer.Typer) -> NoReturn:
    """Run the command that the command line names, and exit with its status.

    What is wrong with the command line itself is told in one line, with status 2, as any other
    wrong input; typer's own message would be a box of several lines.
    """
    try:
        status = app(prog_name="mpifl", standalone_mode=False)  # the same name under `python -m`
    except typer.Abort:
        end("aborted", FAILED)
    except _USAGE_ERROR as error:
        _end_usage(error)
    sys.exit(status)


_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""UsageError of click: typer has one of its own, or takes the one that is installed."""


def _end_usage(error: Any) -> NoReturn:
    if type(error).__name__ == "NoArgsIsHelpError":  # the help was the answer
        sys.exit(WRONG_INPUT)
    message = " ".join(error.format_message().split()).removesuffix(".")
    stop = "" if message.endswith("?") else "."
    command = error.ctx.command_path if error.ctx else "mpifl"
    end(f"{message[:1].lower()}{message[1:]}{stop} See {command} --help", WRONG_INPUT)
