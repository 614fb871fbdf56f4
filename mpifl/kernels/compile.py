"""Numba kernels, compiled once and cached. A cache belongs to one version of all kernels' sources.

Numba's own cache only checks the file of a kernel. When a kernel in another file, which it calls,
has changed, it goes on with the old machine code: other results, and no warning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from mpifl.io.files import PACKAGE, compiled_path

SOURCES = (
    "kernels/permutation.py",
    "aggregation/exact_sum.py",
    "population/phones.py",
    "population/population.py",
    "population/outages.py",
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
    "clock/kernels/link_flows.py",
    "clock/kernels/actors.py",
    "clock/kernels/battery.py",
    "selection/checked.py",
)
"""Every file with kernels, or with a type that they take (checked by tests/test_imports.py)."""

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_directory() -> Path:
    """Return the folder of these sources' machine code.

    It is beside the package, or in the cache folder if that place cannot be written. It is not
    inside the package: pip leaves files there that it did not install, and the folder that remains
    hides an editable install (Python takes it for a namespace package called mpifl).
    """
    # This file is among the sources because it says how to compile.
    sources = [Path(__file__), *(PACKAGE / name for name in SOURCES)]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return compiled_path() / f"mpifl-kernels-{digest}"


CACHE_DIRECTORY = str(cache_directory())


def constant(value: int) -> int:
    """Return a number for kernels to pass as an argument.

    Numba compiles a kernel anew for each literal Python int that it is called with.
    """
    return cast(int, np.int64(value))


def kernel(function: Function) -> Function:
    """Compile a function with Numba in nopython mode, IEEE arithmetic (no fastmath), one thread."""
    return _compiled(function, {})


def inner_kernel(function: Function) -> Function:
    """Compile a function that other kernels call in their loops, as ``kernel`` does.

    It must not allocate arrays: it is compiled without reference counts. These cost more than the
    work, because a call with a trace's arrays would raise and lower the count of each of them. A
    function whose name begins with an underscore cannot be called from Python, which saves a third
    of its compile time.
    """
    private = function.__name__.startswith("_")
    return _compiled(function, {"_nrt": False, "no_cpython_wrapper": private})


class _KernelCache(FunctionCache):
    """Numba's cache, which loads machine code without the tables that only a compilation needs.

    To fill them takes each rank a tenth of a second.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for a signature; None when it is not in the cache."""
        rtsys.initialize(target_context)
        return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    # Not a plug-in's kernels: their sources are not among SOURCES.
    cached = function.__module__.partition(".")[0] == "mpifl"

    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = CACHE_DIRECTORY  # type: ignore[attr-defined]
    try:
        njit: Any = numba.njit  # its stubs do not know all of its options
        compiled = njit(no_cfunc_wrapper=True, **options)(function)
        if cached:
            compiled._cache = _KernelCache(function)  # type: ignore[no-untyped-call]
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    return cast(Function, compiled)
