"""Checkpoints: everything that the rest of a run depends on, in one HDF5 file of the run directory.

Layout, schema version 2 (``checkpoint/round-00000120-DIGEST.h5``)::

    attributes   format="mpifl-checkpoint" schema_version rounds_done version rows
    state/...    the server's vectors (float32) by name
    versions/... those model versions that somebody under way still needs, by number and name
    clock/...    the clock's state: numbers as attributes, who is under way as tables
    untested/... rounds that are over and wait for their test: what run.h5 will say of them
    state_rounds (clients,) the round after which each client last kept state; the state itself lies in files of its own

A file is named when it is whole and on the disk; DIGEST begins the SHA-256 of its bytes, so that a damaged one is known before
HDF5, which may hang over it, has read any of it. What is not in it need not be: every random number is drawn from a
generator of its own purpose and round.
"""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from mpifl.clock.timeline import ClockState, Timeline
from mpifl.errors import InputError, TrainingError
from mpifl.io.files import disk_full_errors, to_disk
from mpifl.io.hdf5 import hdf5_errors, open_hdf5, writing_hdf5
from mpifl.rounds.plan import TASK, Plan
from mpifl.rounds.snapshot import Snapshot, Vectors, Waiting

LOG = logging.getLogger(__name__)

FORMAT = "mpifl-checkpoint"
SCHEMA_VERSION = 2
PATTERN = "round-*.h5"


def write_checkpoint(folder: Path, snapshot: Snapshot) -> Path:
    """Write one; it has its name only when it is whole and on the disk. Raises DiskFull; nothing is left then."""
    partial, named = folder / ".part", f"round-{snapshot.rounds_done:08}"
    with disk_full_errors(folder / f"{named}.h5", run=folder.parent):
        try:
            _write(partial, snapshot)
            to_disk(partial)
            path = folder / f"{named}-{_digest(partial)}.h5"
            partial.replace(path)
            to_disk(folder)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _write(path: Path, snapshot: Snapshot) -> None:
    with writing_hdf5(path) as file:
        file.attrs["format"], file.attrs["schema_version"] = FORMAT, SCHEMA_VERSION
        file.attrs["rounds_done"], file.attrs["version"] = snapshot.rounds_done, snapshot.version
        file.attrs["rows"] = json.dumps(snapshot.rows or {})
        _put_vectors(file.create_group("state"), snapshot.state or {})
        for number, vectors in (snapshot.versions or {}).items():
            _put_vectors(file.create_group(f"versions/{number}"), vectors)
        _put_fields(file.create_group("clock"), snapshot.clock)
        for index, waiting in enumerate(snapshot.untested):
            _put_waiting(file.create_group(f"untested/{index}"), waiting)
        file["state_rounds"] = snapshot.state_rounds


def read_checkpoint(path: Path) -> Snapshot:
    """Read one, whole and unchanged. Raises InputError naming the file when it is not."""
    with hdf5_errors(path):
        digest = _digest(path)
    if not path.stem.endswith(f"-{digest}"):
        raise InputError(f"{path}: damaged: it does not have the hash that its name says")
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file, hdf5_errors(path):
        versions = {
            int(number): _vectors(group) for number, group in file.get("versions", {}).items()
        }
        waiting = file.get("untested", {})
        return Snapshot(
            rounds_done=int(file.attrs["rounds_done"]),
            version=int(file.attrs["version"]),
            state=_vectors(file["state"]) or None,
            versions=versions,
            clock=ClockState(**_fields(file["clock"])),
            untested=tuple(_waiting(waiting[str(index)]) for index in range(len(waiting))),
            state_rounds=file["state_rounds"][:],
            rows=json.loads(file.attrs["rows"]),
        )


def last_checkpoint(folder: Path) -> Snapshot | None:
    """Return the newest checkpoint that can be read, None when there is none; log those that cannot."""
    for path in sorted(folder.glob(PATTERN), reverse=True):
        try:
            return read_checkpoint(path)
        except InputError as error:
            LOG.warning("checkpoint skipped: %s", error)
    return None


class Records(Protocol):
    """run.h5, as a checkpoint sees it."""

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""

    def to_disk(self) -> None:
        """Wait until they are on the disk."""


class Checkpoints:
    """Writes a checkpoint every ``every`` rounds while the run goes on, and keeps the last ``keep``.

    A write that failed is raised by the next call; the checkpoints before it stay. ``resumed_from`` is the round
    after which the run goes on (0: it is new).
    """

    def __init__(
        self, folder: Path, every: int, keep: int, records: Records, resumed_from: int = 0
    ) -> None:
        self._folder, self._every, self._keep, self._records = folder, every, keep, records
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._last = resumed_from
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def oldest(self) -> int:
        """The round of the oldest checkpoint that is kept; 0 while the run can only begin anew."""
        found = sorted(self._folder.glob(PATTERN))
        return int(found[0].stem.split("-")[1]) if found else 0

    def due(self, rounds_done: int) -> bool:
        """Whether it is time for one."""
        return rounds_done // self._every > self._last // self._every

    def save(self, snapshot: Snapshot) -> None:
        """Write one while the run goes on; waits for the one before it."""
        self.wait()
        self._last = snapshot.rounds_done
        snapshot = replace(snapshot, rows=self._records.rows())
        self._writing = self._thread.submit(self._write, snapshot)

    def wait(self) -> None:
        """Until nothing is being written. Raises TrainingError when the write failed; DiskFull is one."""
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except OSError as error:
            raise TrainingError(
                f"{self._folder}: a checkpoint could not be written: {error}; that before is there"
            ) from error

    def close(self) -> None:
        """Wait, and write no more."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, snapshot: Snapshot) -> None:
        self._records.to_disk()
        write_checkpoint(self._folder, snapshot)
        for old in sorted(self._folder.glob(PATTERN))[: -self._keep]:
            old.unlink()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _put_vectors(group: h5py.Group, vectors: Vectors) -> None:
    for name, vector in vectors.items():
        group[name] = vector


def _vectors(group: h5py.Group) -> Vectors:
    return {name: values[:] for name, values in group.items()}


def _put_fields(group: h5py.Group, state: Any) -> None:
    """A dataclass of numbers and arrays."""
    for found in fields(state):
        value = getattr(state, found.name)
        if isinstance(value, np.ndarray):
            group[found.name] = value
        else:
            group.attrs[found.name] = value


def _fields(group: h5py.Group) -> dict[str, Any]:
    return {name: value.item() for name, value in group.attrs.items()} | {
        name: values[:] for name, values in group.items()
    }


def _put_waiting(group: h5py.Group, waiting: Waiting) -> None:
    _put_fields(group.create_group("timeline"), waiting.plan.timeline)
    group.attrs["round"], group.attrs["online"] = waiting.plan.round_number, waiting.plan.online
    group.attrs["version"] = -1 if waiting.version is None else waiting.version
    group["metrics"] = waiting.metrics


def _waiting(group: h5py.Group) -> Waiting:
    """Its plan has no tasks and no state after it: nobody will ask for them again."""
    timeline, version = Timeline(**_fields(group["timeline"])), int(group.attrs["version"])
    plan = Plan(
        int(group.attrs["round"]),
        np.empty(0, TASK),
        timeline,
        ClockState(),
        float(group.attrs["online"]),
    )
    return Waiting(plan, group["metrics"][:], None if version < 0 else version)
