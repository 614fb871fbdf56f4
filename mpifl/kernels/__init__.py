"""Numba: how kernels are compiled and cached, and the kernels that several parts share.

compile.py has the decorator and the cache; permutation.py assigns devices to clients and orders
clients at random. Imports: errors, io, seeds. Kernels of the clock
are in ``mpifl/clock/kernels``.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let an import of a module fail, as if it were not installed."""
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


# Numba would start colorama, which writes an escape sequence at exit, and load SciPy to look at its
# version.
with _hidden("colorama"), _hidden("scipy"):
    import numba  # noqa: F401
