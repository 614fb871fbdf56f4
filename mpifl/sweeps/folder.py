"""The folder of a sweep: made with its index, or found as it was left."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mpifl.errors import InputError
from mpifl.flower.app import is_app
from mpifl.io.files import locked
from mpifl.job import Job, read_job
from mpifl.population.open_files import Files
from mpifl.record.run_directory import check_empty, make_run_directory
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.sweeps.apps import check_app
from mpifl.sweeps.index import INDEX, Index, has_index, read_index, source_of, write_index

FOLDER = "sweeps"
LOCK = ".lock"
"""The file that is locked while a sweep's index is made."""

T = TypeVar("T")


def open_sweep(asked: Index | None, out: str | None, resume: str | None) -> tuple[Path, Index]:
    """Return folder and index of a sweep: a new one, or the one to go on with.

    Of a new one every run is checked whole before the folder is made. ``asked`` is the index that
    a command line describes, None when it names no job. ``out`` and ``resume`` are the user's
    options. Raises InputError.
    """
    if out is not None and resume is not None:
        raise InputError("--out: not allowed with --resume, which names the folder itself")
    found = None if resume is None else existing(Path(resume), asked)
    if found is not None:
        return Path(str(resume)), found
    if asked is None and resume is not None:
        raise InputError(
            f"--resume: {resume}: no sweep there to go on with; name the folder of one, or a job"
            " and its axes to begin one there"
        )
    if asked is None:
        raise InputError("JOB: missing; name a job file, or a job that ships with mpifl")

    if out is not None:
        check_empty("--out", out)
    name = _checked_name(asked)
    folder = Path(resume) if resume is not None else make_run_directory(out, name, FOLDER)
    return folder, begun_by_one(folder, asked)


def begun_by_one(folder: Path, asked: Index) -> Index:
    """Write the index of a sweep into its folder, which is made where it is missing; return it.

    Several commands may do so at once, such as the tasks of a batch array: one writes it, the
    others find it. Raises InputError when it cannot be written, or is that of another sweep.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOCK, "ab") as lock:
            locked(lock, wait=True)
            found = existing(folder, asked)
            if found is None:
                write_index(folder, asked)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error
    return found or asked


def existing(folder: Path, asked: Index | None) -> Index | None:
    """Return the index of the sweep in a folder; None where the folder is missing or empty.

    Raises InputError when something else is there, or when the sweep cannot go on.
    """
    if not begun(folder):
        return None
    index = read_index(folder)
    _check_unchanged(folder, index, asked)
    return index


def check_runs(index: Index, whole: bool) -> list[Job]:
    """Return the job of each run, ``whole`` with its data and trace checked, too.

    Runs over the same files share them: of 10,000 runs most of the time went into opening them
    again. Raises InputError for the first that is wrong.
    """
    files = Files.kept_open()

    def check(overrides: Sequence[str]) -> Job:
        if whole:
            return check_job(index.job, overrides, files)[0].job
        return read_job(index.job, overrides)

    return _each(index, check)


def _checked_name(index: Index) -> str:
    """Return the name of the first run; all are checked whole. Raises InputError."""
    if is_app(index.job):
        return _each(index, lambda overrides: check_app(index.job, overrides))[0]
    return check_runs(index, whole=True)[0].name


def _each(index: Index, check: Callable[[Sequence[str]], T]) -> list[T]:
    """Return what ``check`` makes of the changes of each run; its errors name the run."""
    found = []
    for number, entry in enumerate(index.runs, 1):
        try:
            found.append(check(entry.overrides))
        except InputError as error:
            words = shlex.join(entry.overrides)
            raise error.within(f"run {number} of {len(index.runs)} ({words})") from error
    return found


def begun(folder: Path) -> bool:
    """Return whether a folder has an index; False where it is missing or empty.

    Raises InputError for a folder that holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--resume: {folder}: is a file; name a folder")

    # Listed before the index is looked for: another task may write the index at this moment. The
    # names that are left out are those of files that are not whole yet.
    names = [] if not folder.exists() else [path.name for path in folder.iterdir()]
    if has_index(folder):
        return True
    if any(not name.startswith(".") for name in names):
        raise InputError(
            f"--resume: {folder}: not empty, and no {INDEX} there; name a sweep or a new folder"
        )
    return False


def _check_unchanged(folder: Path, index: Index, asked: Index | None) -> None:
    """Raise InputError when a sweep cannot go on: other arguments, another job, another place.

    ``asked`` is the index that the command line describes, None when it only names the folder.
    """
    for key in ("job", "axes", "random"):
        if asked is not None and getattr(asked, key) != getattr(index, key):
            raise InputError(
                f"--resume: {folder} is a sweep with other {key}: give what it was made with"
                f" ({INDEX} has it), or name a new folder with --resume"
            )
    if not os.path.isdir(index.directory):
        raise InputError(
            f"--resume: {folder / INDEX}: the folder {index.directory}, where the sweep was made,"
            " is missing: files that its job names may be relative to it"
        )
    if source_of(index.job) != index.job_sha256:
        raise InputError(
            f"--resume: {index.job} has changed since the sweep began: runs would be of two jobs;"
            " restore it, or start a new sweep"
        )
