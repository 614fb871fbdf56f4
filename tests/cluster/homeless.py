"""A command for a user without a home folder whose mpifl lies where it cannot write: ``python homeless.py MODULE ARGUMENT...``."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def main() -> None:
    """Take away what a container may not have, then be ``python -m MODULE ARGUMENT...``."""
    for name in ("MPIFL_CACHE", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    Path.home = no_home  # type: ignore[method-assign]
    real = os.access
    package = Path(__file__).parents[2]

    def access(path: Any, mode: int) -> bool:
        return (Path(path) != package or mode != os.W_OK) and real(path, mode)

    os.access = access  # type: ignore[assignment]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
