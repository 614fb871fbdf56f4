"""Numba: how kernels are compiled and cached, and the kernels that several parts share.

compile.py has the decorator and the cache; permutation.py assigns devices to clients and orders
clients at random. Imports: errors, io, seeds. Kernels of the clock
are in ``mpifl/clock/kernels``.
"""

import sys

# Numba starts colorama where that is installed, which writes an escape sequence at exit. So it does
# not find it.
_colorama = sys.modules.get("colorama")
sys.modules["colorama"] = None  # type: ignore[assignment]
try:
    import numba  # noqa: F401
finally:
    del sys.modules["colorama"]
    if _colorama is not None:
        sys.modules["colorama"] = _colorama
