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
import numpy as np
from numba.core import config

from mpifl.io.files import PACKAGE, cache_path

SOURCES = (
    "kernels/reseeding.py",
    "kernels/permutation.py",
    "aggregation/exact_sum.py",
    "population/population.py",
    "clock/kernels/periodic.py",
    "clock/kernels/availability.py",
    "clock/kernels/transfer.py",
    "clock/kernels/latency.py",
    "clock/kernels/progress.py",
    "clock/kernels/heaps.py",
    "clock/kernels/online_patterns.py",
    "clock/kernels/flow.py",
    "clock/kernels/fair_share.py",
    "clock/kernels/server_link.py",
    "selection/checked.py",
)
"""Every file with kernels, or with a type that they take (a test sees to it)."""

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_directory() -> Path:
    """Where this source's machine code lies: beside the package, or in the cache folder where that cannot be written.

    Not inside the package: pip leaves files there that it did not install, and the folder that then stays behind hides an
    editable install (Python takes it for a namespace package called mpifl).
    """
    sources = [
        Path(__file__),
        *(PACKAGE / name for name in SOURCES),
    ]  # this one for how it compiles
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    base = PACKAGE.parent / "__pycache__" if os.access(PACKAGE.parent, os.W_OK) else cache_path()
    return base / f"mpifl-kernels-{digest}"


CACHE_DIRECTORY = str(cache_directory())


def constant(value: int) -> int:
    """A number that kernels pass on: for each of Python's own Numba would compile those that take it once more."""
    return cast(int, np.int64(value))


def kernel(function: Function) -> Function:
    """Compile a function with Numba in nopython mode, IEEE arithmetic (no fastmath), one thread."""
    return _compiled(function, {})


def inner_kernel(function: Function) -> Function:
    """As ``kernel``, for what other kernels call in their loops: it must not make arrays, and so counts no references to any.

    Counting costs more than the work: a call with a trace's arrays would raise and lower one count for each of them. One whose
    name begins with an underscore cannot be called from Python, which saves a third of the time that it takes to compile.
    """
    return _compiled(
        function, {"_nrt": False, "no_cpython_wrapper": function.__name__.startswith("_")}
    )


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    kept = (
        function.__module__.partition(".")[0] == "mpifl"
    )  # a plug-in's sources are not among SOURCES
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = CACHE_DIRECTORY  # type: ignore[attr-defined]
    try:
        njit: Any = numba.njit  # its stubs do not know all of its options
        compiled = njit(cache=kept, no_cfunc_wrapper=True, **options)(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    return cast(Function, compiled)
