"""Libraries that only some importers need, and that an extra of mpifl installs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from mpifl.errors import InputError


def library(module: str, extra: str, path: Path) -> Any:
    """Return a module of a library.

    Raise InputError, which says how to install it and names the ``path`` to be read, where it is
    not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise InputError(
            f"{path}: the library {name} is not installed; install it: pip install 'mpifl[{extra}]'"
        ) from error
