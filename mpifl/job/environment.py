"""environment.json of a run directory, with the hashes that a resume compares."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mpifl.errors import InputError

ENVIRONMENT = "environment.json"
"""The file of a run directory with the hashes."""

Result = TypeVar("Result")


def recorded(folder: Path, read: Callable[[dict[str, Any]], Result]) -> Result | None:
    """Return what ``read`` takes from the environment.json of the run directory ``folder``.

    None where there is none: the run ended before it was written. Raises InputError for a damaged
    one, in which ``read`` may find anything.
    """
    path = folder / ENVIRONMENT
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged; restore it from a copy, or remove it to go on without comparing"
            " data, trace, plug-ins and ranks with those at the run's beginning"
        ) from error
