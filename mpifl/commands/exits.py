"""How a command ends after an error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

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
