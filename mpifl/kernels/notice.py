"""A message for the first run of a version, which waits while it compiles the kernels.

From then on they are in the cache (compile.py).
"""

from __future__ import annotations

import logging
from typing import Any

from numba.core import event

LOG = logging.getLogger(__name__)

COMPILING = "compiling kernels: once for this version of mpifl, about 10 s"


def say_when_compiling() -> None:
    """Log COMPILING, once, when Numba has to compile.

    Kernels found in the cache are not compiled.
    """
    event.register("numba:compile", _FirstCompilation())  # type: ignore[no-untyped-call]


class _FirstCompilation(event.Listener):
    """Listens to every compilation, and prints a message at the first."""

    printed = False

    def on_start(self, event: Any) -> None:
        if not self.printed:
            LOG.warning(COMPILING)
        self.printed = True

    def on_end(self, event: Any) -> None:
        pass
