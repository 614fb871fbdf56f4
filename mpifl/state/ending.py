"""How a rank ends after an error or a signal: its exit status, and what it logs before."""

from __future__ import annotations

import contextlib
import logging
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import mpifl
from mpifl.cluster.signals import Stop
from mpifl.errors import (
    FAILED,
    INTERRUPTED,
    WRONG_INPUT,
    InputError,
    Interrupted,
    RankTimeout,
    TrainingError,
    where,
)
from mpifl.mpi.world import World

LOG = logging.getLogger(__name__)

LIBRARIES = (
    str(Path(mpifl.__file__).parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
)
"""The folders of what is not the user's: mpifl, Python and what is installed."""


@contextlib.contextmanager
def ends_together(world: World, stop: Stop) -> Iterator[None]:
    """End this rank, and where it is an error all ranks, on any exception in the block."""
    try:
        yield
    except Interrupted as error:
        LOG.warning("%s; to go on: %s", error, stop.again)
        world.leave(INTERRUPTED)
    except RankTimeout as error:
        _log_error(world, TrainingError(f"{error}; go on with --resume"))
        world.abort_silent()
    except InputError as error:  # on this rank alone, or under way: the others do not know
        _end(world, error, WRONG_INPUT)
    except Exception as error:
        _end(world, error, FAILED)


def _end(world: World, error: Exception, status: int) -> NoReturn:
    """End all ranks with a status. Where several ranks fail at once, one of them logs its error."""

    def tell() -> None:
        if not isinstance(error, InputError | TrainingError):
            _print_traceback(error)
        _log_error(world, error)

    if world.ends_elsewhere():
        world.abort(status, tell)
    tell()
    world.abort(status)


def _log_error(world: World, error: BaseException) -> None:
    """Log an error as one line with rank, round, client and cause; an InputError with all lines."""
    place = ", ".join(text for text in (f"rank {world.rank}", where(error)) if text)
    if isinstance(error, InputError):
        LOG.error(error.within(place))
    else:
        kind = "" if isinstance(error, TrainingError) else f"{type(error).__name__}: "
        LOG.error("%s: %s%s", place, kind, error)


def _print_traceback(error: BaseException) -> None:
    """Print where an error was raised, from a plug-in's first line on where it came from one.

    What called the plug-in is mpifl's own, of which its author need not know.
    """
    frame = error.__traceback__
    while frame is not None and _of_a_library(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    lines = traceback.format_exception(type(error), error, frame or error.__traceback__)
    print("".join(lines), end="", file=sys.stderr, flush=True)  # whole among those of others


def _of_a_library(file: str) -> bool:
    """Return whether a source file is mpifl's, Python's or of an installed library."""
    return file.startswith("<") or any(Path(file).is_relative_to(folder) for folder in LIBRARIES)
