"""Numba kernels, compiled once and kept: in a cache that belongs to exactly this source of all of them.

Numba's own cache looks at the file of a kernel alone, and goes on with old machine code when a kernel that it calls from
another file has changed: other bits, and nobody told.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

from mpifl.files import PACKAGE, cache_path

SOURCES = (
    "exact_sum.py",
    "population/permutation.py",
    "population/population.py",
    "clock/availability.py",
    "clock/latency.py",
)
"""Every file with kernels, or with a type that they take (a test sees to it)."""

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_directory() -> Path:
    """Where this source's machine code lies: with the package, or in the cache folder where that cannot be written."""
    digest = hashlib.sha256(b"\0".join((PACKAGE / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    base = PACKAGE / "__pycache__" if os.access(PACKAGE, os.W_OK) else cache_path()
    return base / f"kernels-{digest}"


CACHE_DIRECTORY = str(cache_directory())


def kernel(function: Function) -> Function:
    """Compile a function with Numba in nopython mode, IEEE arithmetic (no fastmath), one thread."""
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = CACHE_DIRECTORY  # type: ignore[attr-defined]
    try:
        compiled: Any = numba.njit(cache=True)(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    return cast(Function, compiled)
