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


with _hidden("colorama"):  # Numba would start it, and it writes an escape sequence at exit
    import numba

# Numba only looks whether it is there, which takes half as long as all of Numba. Who calls np.dot
# in a kernel has it loaded then.
with _hidden("scipy.linalg"):
    import numba.np.arraymath  # noqa: F401
