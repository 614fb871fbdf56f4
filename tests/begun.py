"""mpifl.run that says when MPI has started: ``python begun.py FOLDER ARGUMENTS...`` makes a file named by its pid in FOLDER."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """See sys.addaudithook. The module that starts MPI has its class once that is done; more is imported after it."""
    if event == "import" and hasattr(sys.modules.get("mpifl.mpi.world"), "World"):
        (FOLDER / str(os.getpid())).touch()


if __name__ == "__main__":
    sys.argv = ["mpifl.run", *sys.argv[2:]]
    sys.path[0] = os.getcwd()  # as with -m
    sys.addaudithook(watch)
    runpy.run_module("mpifl.run", run_name="__main__", alter_sys=True)
