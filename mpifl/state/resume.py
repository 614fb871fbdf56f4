"""How a run begins on rank 0: new in a directory of its own, or where a checkpoint left it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from mpifl.errors import InputError
from mpifl.io.files import is_file, write_text
from mpifl.io.verified import bytes_sha256
from mpifl.job import Job, difference, dump_job, part_name, with_names
from mpifl.job.environment import recorded
from mpifl.job.plug_in import COPIES
from mpifl.population.pinning import table_of
from mpifl.record.run_directory import check_empty
from mpifl.record.run_folders import CHECKPOINTS, JOB, is_run
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.state.checkpoint import last_checkpoint
from mpifl.state.extension import (
    extend,
    rounds_at_end,
    with_due_tests,
    with_end,
    with_sums,
)
from mpifl.state.new_directory import lock_directory, new_directory

SUMMARY = "summary.json"
ACTORS = "actors"
"""Below CHECKPOINTS: the arrays of a protocol's actors."""
INPUTS = {
    "data": "data.name",
    "trace": "population.trace",
    "devices": "population.devices",
    "initial": "model.initial",
    "graph": "protocol.graph.path",
    "model": "model.config",
}
"""The job key of each input whose hash environment.json has."""


@dataclass(frozen=True)
class RunStart:
    """How a run begins.

    Attributes:
        experiment: The job, with all that it needs.
        data_path: The file of its data; None where there is none.
        folder: The run directory.
        snapshot: The run so far.
        complete: Whether there is nothing left to do.
        lock: An open file that keeps other runs out of the directory as long as it is open.
    """

    experiment: TimingExperiment
    data_path: Path | None
    folder: Path
    snapshot: Snapshot
    complete: bool
    lock: IO[bytes]

    @property
    def content_sha256(self) -> dict[str, str]:
        """Hashes of data set, trace, table of devices, graph, and what the model reads."""
        parts = {
            "data": self.experiment.population.dataset,
            "trace": self.experiment.population.trace,
        }
        hashes = {name: part.content_sha256 for name, part in parts.items() if part}
        table = table_of(self.experiment.job.population.devices)
        files = {"devices": table, "initial": self.experiment.job.model.initial}
        files |= self.experiment.job.protocol.files()
        hashes |= {name: bytes_sha256(Path(file)) for name, file in files.items() if file}
        model = self.experiment.job.model
        adapters = () if model.lora is None else model.lora.files()
        of_model = [bytes_sha256(file) for file in (*model.files(), *adapters)]
        if of_model:
            hashes["model"] = hashlib.sha256(" ".join(of_model).encode()).hexdigest()
        return hashes


def job_and_overrides(
    job: str | None, overrides: Sequence[str]
) -> tuple[str | None, Sequence[str]]:
    """Return the job and the overrides of a command line.

    ``job`` is its first word. A resume needs no job; then the first word may be an override too.
    """
    if job is not None and "=" in job and not is_file(Path(job)):
        return None, [job, *overrides]
    return job, overrides


def has_run(resume: str | None) -> bool:
    """Return whether the directory that --resume names has a run to go on with."""
    return resume is not None and is_run(Path(resume))


def check_asked(job: str | None, out: str | None, resume: str | None) -> None:
    """Raise InputError when no run can begin or resume with these arguments. Writes nothing."""
    if resume is not None and out is not None:
        raise InputError("--out: not allowed with --resume, which names the run directory itself")
    if has_run(resume):
        return

    if job is None:
        if resume is not None:
            raise InputError(
                f"--resume: {resume}: no {JOB} there, so no run to go on with; name the directory"
                " of one, or a job to begin one there"
            )
        raise InputError("JOB: missing; name a job file, or a job that ships with mpifl")
    if out is not None:
        check_empty("--out", out)
    if resume is not None:
        check_empty("--resume", resume, f", and no {JOB} there", begun=True)


def begin(
    job: str | None, overrides: Sequence[str], out: str | None, resume: str | None
) -> RunStart:
    """Check the job, and make the run directory or read how far it is. On rank 0.

    Raises InputError.
    """
    job, overrides = job_and_overrides(job, overrides)
    check_asked(job, out, resume)
    if resume is not None and has_run(resume):
        return _resume(Path(resume).resolve(), job, overrides)

    assert job is not None  # as was checked
    experiment, data_path = check_job(job, overrides)
    check_device_of(experiment)

    with new_directory(out, experiment.job.name, resume) as (folder, lock):
        copies = _copy_plug_ins(experiment.job, folder)
        write_text(folder / JOB, dump_job(with_names(experiment.job, copies)))

    absolute = {key: f"{folder}/{name}" for key, name in copies.items()}
    experiment = replace(experiment, job=with_names(experiment.job, absolute))
    return RunStart(experiment, data_path, folder, Snapshot(), False, lock)


def _copy_plug_ins(job: Job, folder: Path) -> dict[str, str]:
    """Copy every plug-in that is a file into the run directory; return the copies' names by key."""
    copies = {}
    for key, plug_in in job.plug_ins.items():
        if plug_in.from_file:
            path = plug_in.copy(folder / COPIES / key.rpartition(".")[0])
            class_name = part_name(job, key).rpartition(":")[2]
            copies[key] = f"{path.relative_to(folder)}:{class_name}"
    return copies


def _resume(folder: Path, job: str | None, overrides: Sequence[str]) -> RunStart:
    """Return the run of a directory.

    The job in the directory is used. Raises InputError when ``job`` and ``overrides`` differ from
    it in more than the end of the run, or when its inputs have changed.
    """
    lock = lock_directory(folder)
    experiment, data_path = check_job(str(folder / JOB), [])
    complete = is_file(folder / SUMMARY)
    before = after = experiment.job
    if job is not None or overrides:
        summed = with_sums(overrides, rounds_at_end(folder, before, complete), complete)
        asked = check_job(job or str(folder / JOB), summed)[0].job
        after = with_end(folder, before, asked, complete)
        _check_same_job(folder, after, asked)
        experiment = replace(experiment, job=after)

    extended = difference(before, experiment.job) is not None
    if complete and not extended:
        return RunStart(experiment, data_path, folder, Snapshot(), True, lock)

    check_device_of(experiment)
    snapshot = last_checkpoint(folder / CHECKPOINTS) or Snapshot()
    snapshot = with_due_tests(snapshot, after)
    start = RunStart(experiment, data_path, folder, snapshot, False, lock)
    _check_same_inputs(folder, start.content_sha256)
    if extended:
        extend(folder, after, snapshot.rounds_done)
    return start


def check_device_of(experiment: TimingExperiment) -> None:
    """Raise InputError when the job trains on a device that this host does not have.

    To be called before anything is written.
    """
    if isinstance(experiment, Experiment):
        # Imported here: it imports torch, which runs that train nothing do not need.
        from mpifl.training.device import check_device

        check_device(experiment.job.training.device)


def take_over(folder: Path) -> RunStart:
    """Return the run as its last checkpoint has it.

    For an executor that becomes the aggregator, because rank 0 was lost.
    """
    return _resume(folder, None, [])


def _check_same_job(folder: Path, job: Job, asked: Job) -> None:
    """Raise InputError for the first key in which the directory's job and the one asked for differ.

    A plug-in is the same when its source and its class are.
    """
    for key in job.plug_ins.keys() & asked.plug_ins.keys():
        name = part_name(job, key)
        asked_name = part_name(asked, key)
        if name.rpartition(":")[2] != asked_name.rpartition(":")[2]:
            continue  # another class: the difference below

        digest = job.plug_ins[key].sha256
        asked_digest = asked.plug_ins[key].sha256
        if digest != asked_digest:
            raise InputError(
                f"--resume: {key}: the source of {asked_name} has sha256 {asked_digest[:12]}, that"
                f" of {name} {digest[:12]}; a resumed run uses the one in its directory: leave it"
                " out"
            )
        asked = with_names(asked, {key: name})

    different = difference(job, asked)
    if different is not None:
        key, value, asked_value = different
        raise InputError(
            f"--resume: {key} is {value!r} in {folder / JOB} and {asked_value!r} here; a resumed"
            " run uses the job in its directory: leave the job out"
        )


def content_hashes(folder: Path) -> dict[str, Any] | None:
    """Return the hashes of a run's inputs, from its environment.json; None where it has none yet.

    Raises InputError for a damaged one.
    """
    return recorded(folder, _hashes)


def _hashes(environment: dict[str, Any]) -> dict[str, Any]:
    hashes, earlier = environment["content_sha256"], environment.get("earlier", [])
    if not (isinstance(hashes, dict) and isinstance(earlier, list)):
        raise TypeError
    return hashes


def _check_same_inputs(folder: Path, hashes: dict[str, str]) -> None:
    """Raise InputError when data or trace are not those that the run began with."""
    before = content_hashes(folder)
    if before is None:
        return

    for name, digest in hashes.items():
        if before.get(name) != digest:
            key = INPUTS[name]
            raise InputError(
                f"--resume: {folder}: the content of {key} has changed since the run began"
                f" (content_sha256 {str(before.get(name))[:12]}, now {digest[:12]}); bring it back,"
                " or begin another run"
            )
