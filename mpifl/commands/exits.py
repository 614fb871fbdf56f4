"""How a command ends when it cannot go on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

from mpifl.errors import FAILED, WRONG_INPUT, InputError, TrainingError


def end(message: str, status: int) -> NoReturn:
    """Say why on one line of standard error, and exit."""
    print(f"mpifl: {message}", file=sys.stderr)
    sys.exit(status)


def end_wrong(error: InputError) -> NoReturn:
    """Say what is wrong on standard error, one line an error, and exit with status 2."""
    print(error.within("mpifl"), file=sys.stderr)
    sys.exit(WRONG_INPUT)


@contextlib.contextmanager
def wrong_input_ends() -> Iterator[None]:
    """An InputError in the block ends the command with its lines and status 2, a TrainingError with one line and status 1.

    That is a full disk, in a command.
    """
    try:
        yield
    except InputError as error:
        end_wrong(error)
    except TrainingError as error:
        end(str(error), FAILED)
