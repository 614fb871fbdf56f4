"""Which folders are run directories. Imports nothing large."""

from __future__ import annotations

from pathlib import Path

from mpifl.io.files import is_file

JOB = "job.yaml"
"""The file that makes a folder a run directory; it is written first."""

CHECKPOINTS = "checkpoint"
"""The folder of a run directory with what a resume needs."""

LOCK = "lock"
"""The file in it that a run keeps locked."""


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run directory."""
    return is_file(folder / JOB)


def runs_in(folder: Path) -> list[Path]:
    """Return the run directories in a folder, sorted; none where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if is_run(path))
    except OSError:
        return []
