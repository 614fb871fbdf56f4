"""Why the first run of a version waits: it compiles the kernels (``compile.py``), which lie in the cache from then on."""

from __future__ import annotations

import logging
from typing import Any

from numba.core import event

LOG = logging.getLogger(__name__)

COMPILING = "compiling kernels: once for this version of mpifl, about 10 s"


def say_when_compiling() -> None:
    """Say COMPILING on standard error when Numba has to compile, once. What it finds in the cache is not compiled."""
    event.register("numba:compile", _Once())  # type: ignore[no-untyped-call]


class _Once(event.Listener):
    """Hears of every compilation, and says it of the first."""

    said = False

    def on_start(self, event: Any) -> None:
        """See event.Listener."""
        if not self.said:
            LOG.warning(COMPILING)
        self.said = True

    def on_end(self, event: Any) -> None:
        """See event.Listener."""
