"""The directory of a new run, and the lock that keeps other runs out of a directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mpifl.errors import InputError
from mpifl.io.files import PARTIAL, disk_full_errors, is_file, locked
from mpifl.job.plug_in import COPIES
from mpifl.record.run_directory import make_run_directory
from mpifl.record.run_folders import CHECKPOINTS, JOB, LOCK


@contextlib.contextmanager
def new_directory(
    out: str | None, name: str, resume: str | None
) -> Iterator[tuple[Path, IO[bytes]]]:
    """Make the directory of a new run for the block, which writes its job; yield it and its lock.

    Args:
        out: The user's --out.
        name: The name of the run, which names its directory where the user does not.
        resume: The user's --resume, where no run has begun yet.

    Raises:
        InputError: It cannot be made or written to, or another run begins or has begun there.
    """
    option = "--out" if resume is None else "--resume"
    folder = make_run_directory(out, name, resume=resume).resolve()
    lock = lock_directory(folder)
    if is_file(folder / JOB):  # since it was found to be empty
        raise InputError(f"{option}: {folder}: another run has begun there; name a new folder")

    try:
        # What killed starts have left. Nobody else writes here, as the directory is locked.
        for partial in (*folder.glob(PARTIAL), *(folder / COPIES).rglob(PARTIAL)):
            partial.unlink()
        yield folder, lock
    except OSError as error:
        raise InputError(f"{option}: {folder}: {error.strerror}; name a new folder") from error


def lock_directory(folder: Path) -> IO[bytes]:
    """Return a locked file, which keeps a second run out of a directory as long as it is open.

    Raises InputError when another run holds the lock.
    """
    path = folder / CHECKPOINTS / LOCK
    try:
        with disk_full_errors(path, run=folder):
            path.parent.mkdir(exist_ok=True)
            file = open(path, "wb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error

    if not locked(file):
        raise InputError(
            f"{os.path.relpath(folder)}: another run is writing there; wait for it, or end it"
        )
    return file
