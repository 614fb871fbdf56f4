"""How a run begins: anew in a directory of its own, or where a checkpoint left it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, is_file, locked, write_text
from mpifl.job import Job, difference, dump_job, part_name, with_names
from mpifl.job.plug_in import COPIES, ENVIRONMENT
from mpifl.record.run_directory import check_empty, make_run_directory
from mpifl.rounds.build_experiment import check
from mpifl.rounds.experiment import Experiment, TimingExperiment
from mpifl.rounds.snapshot import Snapshot
from mpifl.state.checkpoint import last_checkpoint

JOB, SUMMARY, CHECKPOINTS, LOCK = "job.yaml", "summary.json", "checkpoint", "lock"


@dataclass(frozen=True)
class RunStart:
    """The experiment, the file of its data (None where there is none), the run directory, and the run so far.

    ``complete`` says that there is nothing left to do. ``lock`` is held as long as this is kept: a directory has one run.
    """

    experiment: TimingExperiment
    data_path: Path | None
    folder: Path
    snapshot: Snapshot
    complete: bool
    lock: IO[bytes]

    @property
    def content_sha256(self) -> dict[str, str]:
        """The hashes of the data set and the trace."""
        parts = {
            "data": self.experiment.population.dataset,
            "trace": self.experiment.population.trace,
        }
        return {name: part.content_sha256 for name, part in parts.items() if part}


def job_and_overrides(
    job: str | None, overrides: Sequence[str]
) -> tuple[str | None, Sequence[str]]:
    """A command line's first word and those after it: without a job, as a resume allows, the first is an override too."""
    if job is not None and "=" in job and not is_file(Path(job)):
        return None, [job, *overrides]
    return job, overrides


def check_asked(job: str | None, out: str | None, resume: str | None) -> None:
    """Raise InputError when no run can be begun, nor gone on with, as it was asked for. Makes nothing."""
    if resume is not None and out is not None:
        raise InputError("--out: not allowed with --resume, which names the run directory itself")
    if resume is not None and is_file(Path(resume) / JOB):
        return
    if job is None:
        found = (
            f"--resume: {resume}: no {JOB} there, so no run to go on with; "
            if resume is not None
            else ""
        )
        raise InputError(f"{found}JOB: missing; name a job file, or a job that ships with mpifl")
    if out is not None:
        check_empty("--out", out)
    if resume is not None:
        check_empty("--resume", resume, f", and no {JOB} there")


def begin(
    job: str | None, overrides: Sequence[str], out: str | None, resume: str | None
) -> RunStart:
    """On rank 0: check the job, make the run directory or find out how far it is. Raises InputError."""
    job, overrides = job_and_overrides(job, overrides)
    check_asked(job, out, resume)
    if resume is not None and is_file(Path(resume) / JOB):
        return _go_on(Path(resume).resolve(), job, overrides)
    assert job is not None  # as was checked
    experiment, data_path = check(job, overrides)
    check_device_of(experiment)
    folder = make_run_directory(out if resume is None else resume, experiment.job.name).resolve()
    copies = _copy_plug_ins(experiment.job, folder)
    write_text(folder / JOB, dump_job(with_names(experiment.job, copies)))
    lock = _lock(folder)
    absolute = {key: f"{folder}/{name}" for key, name in copies.items()}
    snapshot = replace(experiment, job=with_names(experiment.job, absolute))
    return RunStart(snapshot, data_path, folder, Snapshot(), False, lock)


def _copy_plug_ins(job: Job, folder: Path) -> dict[str, str]:
    """Copy every plug-in that is a file into the run directory; returns the copies' names there, by key."""
    copies = {}
    for key, plug_in in job.plug_ins.items():
        if plug_in.from_file:
            path = plug_in.copy(folder / COPIES / key.rpartition(".")[0])
            class_name = part_name(job, key).rpartition(":")[2]
            copies[key] = f"{path.relative_to(folder)}:{class_name}"
    return copies


def _go_on(folder: Path, job: str | None, overrides: Sequence[str]) -> RunStart:
    """The run of a directory; its job governs, and what else was asked for may only say the same."""
    lock = _lock(folder)
    experiment, data_path = check(str(folder / JOB), [])
    if job is not None or overrides:
        asked = check(job or str(folder / JOB), overrides)[0].job
        _same(folder, experiment.job, asked)
    complete = is_file(folder / SUMMARY)
    if not complete:
        check_device_of(experiment)
    snapshot = None if complete else last_checkpoint(folder / CHECKPOINTS)
    found = RunStart(experiment, data_path, folder, snapshot or Snapshot(), complete, lock)
    if not complete:
        _same_inputs(folder, found.content_sha256)
    return found


def check_device_of(experiment: TimingExperiment) -> None:
    """Raise InputError when the job trains on a device that is not here: before anything is written."""
    if isinstance(experiment, Experiment):
        from mpifl.training.device import (
            check_device,
        )  # here: it imports torch, which runs that only time do not need

        check_device(experiment.job.training.device)


def take_over(folder: Path) -> RunStart:
    """On an executor that becomes the aggregator, because that is lost: the run as its last checkpoint has it."""
    return _go_on(folder, None, [])


def _same(folder: Path, governs: Job, asked: Job) -> None:
    """Raise InputError for the first key in which two jobs differ. A plug-in is the same when its source and class are."""
    for key in governs.plug_ins.keys() & asked.plug_ins.keys():
        there, here = part_name(governs, key), part_name(asked, key)
        if there.rpartition(":")[2] != here.rpartition(":")[2]:
            continue  # another class: the difference below
        before, now = governs.plug_ins[key].sha256, asked.plug_ins[key].sha256
        if before != now:
            raise InputError(
                f"--resume: {key}: the source of {here} has sha256 {now[:12]}, that of {there} {before[:12]}; the one in the"
                " directory governs: leave it out"
            )
        asked = with_names(asked, {key: there})
    different = difference(governs, asked)
    if different is not None:
        key, there, here = different
        raise InputError(
            f"--resume: {key} is {there!r} in {folder / JOB} and {here!r} here; the job in the directory governs: leave it out"
        )


def _same_inputs(folder: Path, hashes: dict[str, str]) -> None:
    """Raise InputError when data or trace are no longer those that the run began with."""
    try:
        found = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
        before, earlier = found["content_sha256"], found.get("earlier", [])
    except FileNotFoundError:
        return  # it ended before it had begun
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder / ENVIRONMENT) from error
    if not (isinstance(before, dict) and isinstance(earlier, list)):
        raise _damaged(folder / ENVIRONMENT)
    for name, digest in hashes.items():
        if before.get(name) != digest:
            key = {"data": "data.name", "trace": "population.trace"}[name]
            raise InputError(
                f"--resume: {folder}: {key} has changed since the run began (content_sha256 {digest[:12]})"
            )


def _damaged(path: Path) -> InputError:
    return InputError(
        f"--resume: {path}: damaged; put back what was there, or remove it to go on without what it says"
    )


def _lock(folder: Path) -> IO[bytes]:
    """Keep a second run out of a directory, as long as the file is open. Raises InputError when one is there."""
    try:
        with disk_full_errors(folder / CHECKPOINTS / LOCK, run=folder):
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            file = open(folder / CHECKPOINTS / LOCK, "wb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error
    if not locked(file):
        raise InputError(
            f"{os.path.relpath(folder)}: another run is writing there; wait for it, or end it"
        )
    return file
