"""Checkpoints: everything that the rest of a run depends on, in one HDF5 file of the run directory.

Layout, schema version 10 (``checkpoint/round-00000120-DIGEST.h5``)::

    attributes   format="mpifl-checkpoint" schema_version rounds_done version rows
    state/...    the server's vectors (float32) by name
    versions/... the model versions that a client in flight still needs, by number and name
    clock/...    the clock's state: numbers as attributes, clients in flight as tables
    selection/.. what the selection rule has learned, by name
    untested/... rounds that are over and wait for their test: what run.h5 will hold of them
    state_rounds (clients,) the round after which each client last kept state; that state itself is
                 in files of its own
    participations  (clients,) who took part how often, of a job with privacy
    held         (clients,) which clients have which model, of a job with exchange.delta
    messages     the events of a protocol (JSON); its actors' arrays are in actors/

Of a protocol that a signal has stopped within a round the name is
``round-00000120.000000004567-DIGEST.h5``: the events that were taken come behind the round.

A file gets its name when it is whole and on the disk. DIGEST is the beginning of the SHA-256 of its
bytes: a damaged file is found out before HDF5 reads any of it, which may hang over one. Random
numbers need no state here: each is drawn from a generator of its own purpose and round.
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
from mpifl.io.files import disk_full_errors, read_errors, to_disk
from mpifl.io.hdf5 import open_hdf5, writing_hdf5
from mpifl.privacy.privacy import PrivateRound
from mpifl.rounds.plan.held import HELD
from mpifl.rounds.plan.plan import TASK, Plan
from mpifl.rounds.plan.round_result import MESSAGES, Judged
from mpifl.rounds.plan.snapshot import Snapshot, Vectors, Waiting, round_of

LOG = logging.getLogger(__name__)

FORMAT = "mpifl-checkpoint"
SCHEMA_VERSION = 10
PATTERN = "round-*.h5"


def write_checkpoint(folder: Path, snapshot: Snapshot) -> Path:
    """Write a checkpoint and return its path.

    It gets its name only when it is whole and on the disk. Raises DiskFull; nothing of it is left
    then.
    """
    partial = folder / ".part"
    stem = snapshot.moment
    with disk_full_errors(folder / f"{stem}.h5", run=folder.parent):
        try:
            _write(partial, snapshot)
            to_disk(partial)
            path = folder / f"{stem}-{_digest(partial)}.h5"
            partial.replace(path)
            to_disk(folder)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _write(path: Path, snapshot: Snapshot) -> None:
    with writing_hdf5(path) as file:
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["rounds_done"] = snapshot.rounds_done
        file.attrs["version"] = snapshot.version
        file.attrs["events"] = snapshot.events
        file.attrs["rows"] = json.dumps(snapshot.rows or {})

        _put_vectors(file.create_group("state"), snapshot.state or {})
        for number, vectors in (snapshot.versions or {}).items():
            _put_vectors(file.create_group(f"versions/{number}"), vectors)
        _put_fields(file.create_group("clock"), snapshot.clock)
        _put_vectors(file.create_group("selection"), snapshot.learned or {})
        for index, waiting in enumerate(snapshot.untested):
            _put_waiting(file.create_group(f"untested/{index}"), waiting)
        file["state_rounds"] = snapshot.state_rounds
        file["participations"] = snapshot.participations
        file["held"] = snapshot.held
        if snapshot.messages:
            file["messages"] = np.frombuffer(snapshot.messages.encode(), np.uint8)


def read_checkpoint(path: Path) -> Snapshot:
    """Return the snapshot of a whole checkpoint. Raises InputError for another version's."""
    with open_hdf5(path, FORMAT, SCHEMA_VERSION) as file, read_errors(path):
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
            learned=_vectors(file["selection"]),
            untested=tuple(_waiting(waiting[str(index)]) for index in range(len(waiting))),
            state_rounds=file["state_rounds"][:],
            participations=file["participations"][:],
            held=file["held"][:] if "held" in file else np.empty(0, HELD),
            messages=file["messages"][:].tobytes().decode() if "messages" in file else "",
            events=int(file.attrs.get("events", 0)),
            rows=json.loads(file.attrs["rows"]),
        )


def last_checkpoint(folder: Path) -> Snapshot | None:
    """Return the newest checkpoint that is whole, None when there is none.

    Log the others. Raises InputError for a whole one of another version: a run that began anew
    would lose all that it has done.
    """
    for path in sorted(folder.glob(PATTERN), reverse=True):
        try:
            _check_whole(path)
        except InputError as error:
            LOG.warning("checkpoint skipped: %s", error)
            continue
        try:
            return read_checkpoint(path)
        except InputError as error:
            raise InputError(
                f"--resume: {error}; go on with the version of mpifl that made it, which"
                " environment.json names, or begin another run"
            ) from error
    return None


def _check_whole(path: Path) -> None:
    with read_errors(path):
        digest = _digest(path)
    if not path.stem.endswith(f"-{digest}"):
        raise InputError(f"{path}: damaged: its contents have not the SHA-256 that is in its name")


class Records(Protocol):
    """run.h5, as a checkpoint needs it."""

    def rows(self) -> dict[str, int]:
        """Return the number of rows of each table."""

    def to_disk(self) -> None:
        """Wait until the rows are on the disk."""


class Checkpoints:
    """Writes a checkpoint every ``every`` rounds and after the last one, in a thread.

    The last ``keep`` are kept. When a write fails, the next call raises its error; earlier
    checkpoints stay. ``resumed_from`` is the number of rounds that a resumed run has done (0: the
    run is new).
    """

    def __init__(
        self, folder: Path, every: int, keep: int, records: Records, resumed_from: int = 0
    ) -> None:
        self._folder = folder
        self._every = every
        self._keep = keep
        self._records = records
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._last = resumed_from
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def oldest(self) -> int:
        """The round of the oldest checkpoint that is kept; 0 where there is none yet."""
        rounds = (round_of(path.name) for path in self._folder.glob(PATTERN))
        return min((number for number in rounds if number <= self._last), default=0)

    def due(self, rounds_done: int, last: bool = False) -> bool:
        """Return whether a checkpoint is to be written after this round, the ``last`` or not."""
        return rounds_done // self._every > self._last // self._every or (
            last and rounds_done > self._last
        )

    def save(self, snapshot: Snapshot) -> None:
        """Write a checkpoint while the run goes on; wait for the one before it first."""
        self.wait()
        self._last = snapshot.rounds_done
        snapshot = replace(snapshot, rows=self._records.rows())
        self._writing = self._thread.submit(self._write, snapshot)

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises TrainingError when the write failed (DiskFull is a TrainingError).
        """
        writing = self._writing
        self._writing = None
        try:
            if writing is not None:
                writing.result()
        except OSError as error:
            raise TrainingError(
                f"{self._folder}: a checkpoint could not be written: {error}; earlier checkpoints"
                " are kept"
            ) from error

    def close(self) -> None:
        """Wait until nothing is being written, and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, snapshot: Snapshot) -> None:
        self._records.to_disk()
        written = write_checkpoint(self._folder, snapshot)
        paths = sorted(self._folder.glob(PATTERN))
        older = [path for path in paths if path.name < snapshot.moment]
        kept = [written, *older[max(0, len(older) + 1 - self._keep) :]]
        for path in paths:
            # Also later ones: they were damaged, as the run has gone on from before them.
            if path not in kept and path.is_file():
                path.unlink()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _put_vectors(group: h5py.Group, vectors: Vectors) -> None:
    for name, vector in vectors.items():
        group[name] = vector


def _vectors(group: h5py.Group) -> Vectors:
    # Of a data set without dimensions h5py returns a number.
    return {name: np.asarray(values[()]) for name, values in group.items()}


def _put_fields(group: h5py.Group, state: Any) -> None:
    """Write a dataclass of numbers (as attributes) and arrays (as datasets)."""
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, np.ndarray):
            group[field.name] = value
        else:
            group.attrs[field.name] = value


def _fields(group: h5py.Group) -> dict[str, Any]:
    numbers = {name: value.item() for name, value in group.attrs.items()}
    arrays = {name: values[:] for name, values in group.items()}
    return numbers | arrays


def _put_waiting(group: h5py.Group, waiting: Waiting) -> None:
    _put_fields(group.create_group("timeline"), waiting.plan.timeline)
    group.attrs["round"] = waiting.plan.round_number
    group.attrs["online"] = waiting.plan.online
    group.attrs["version"] = -1 if waiting.version is None else waiting.version
    group.attrs["stopped"] = waiting.stopped
    group.attrs["privacy"] = waiting.privacy
    group.attrs["judged"] = waiting.judged
    group["metrics"] = waiting.metrics
    group["personal"] = waiting.personal
    group["found"] = waiting.found
    group["messages"] = waiting.messages


def _waiting(group: h5py.Group) -> Waiting:
    """Return a round that waits for its test.

    Its plan has no tasks and no clock state: nothing needs them any more.
    """
    version = int(group.attrs["version"])
    plan = Plan(
        round_number=int(group.attrs["round"]),
        tasks=np.empty(0, TASK),
        timeline=Timeline(**_fields(group["timeline"])),
        after=ClockState(),
        online=float(group.attrs["online"]),
    )
    tested = None if version < 0 else version
    stopped = bool(group.attrs.get("stopped", False))
    privacy = PrivateRound(*group.attrs["privacy"].tolist())
    judged = Judged(*group.attrs["judged"].tolist())
    metrics, personal, found = (group[name][:] for name in ("metrics", "personal", "found"))
    messages = group["messages"][:] if "messages" in group else np.empty(0, MESSAGES)
    return Waiting(plan, metrics, tested, personal, stopped, privacy, judged, found, messages)
