"""run.h5 of a run directory, which grows round by round."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mpifl.attacks.attackers import Attackers
from mpifl.io.files import disk_full_errors, to_disk, whole_file
from mpifl.io.hdf5 import writing_hdf5
from mpifl.job import Job
from mpifl.kernels.permutation import uniforms
from mpifl.record.attack_columns import marked_participants, marked_round
from mpifl.record.battery_columns import with_battery
from mpifl.record.contribution_columns import judged_participants, judged_round
from mpifl.record.copy_rows import copy_rows
from mpifl.record.job_tables import ROUND_DIVERGED, higher_is_better, tables_of
from mpifl.record.participant_columns import KindsOf, own_columns, own_participants
from mpifl.record.plain_bytes import NOT_CODED, Plain
from mpifl.record.rows import analytics_rows, client_rows, participant_rows, round_row
from mpifl.record.secure_columns import secured_participants, secured_round
from mpifl.record.tables import ROUND_PRIVATE, row_type, with_columns
from mpifl.rounds.plan.round_result import RoundResult
from mpifl.seeds import Purpose, number

WRITE_SECONDS = 0.5
# The smallest and largest chunk. One that holds a single round is not written again for the next.
CHUNK_ROWS = (64, 16_384)


class RunFile:
    """run.h5 while it is written, one append a round.

    Others may read it meanwhile (HDF5's SWMR); they see rows WRITE_SECONDS late. Every method that
    writes raises DiskFull; what was written before can then still be read.
    """

    def __init__(
        self,
        path: Path,
        job: Job,
        rows: Mapping[str, int] | None = None,
        plain: Plain = NOT_CODED,
        attackers: Attackers | None = None,
        kinds_of: KindsOf | None = None,
    ) -> None:
        """Create the file; ``attackers`` are those of the job, None where it has no attacks.

        For a run that is resumed, ``rows`` says how many rows of each table of the old file are
        kept; the new file begins with those. ``plain`` is what a participant would transfer without
        ``exchange``. ``kinds_of`` says what the algorithm takes clients for, where it has kinds.
        """
        self._path = path
        self._attackers = attackers
        self._kinds_of = kinds_of
        self._own = own_columns(job)
        self.tables = tables_of(job)
        self._record = job.record
        self._secured = job.secure_aggregation.active
        self._battery = job.clock.battery.capacity_joules
        self._plain = plain
        participants = job.selection.participants
        self._wanted = 0 if job.protocol.has_actors else job.clock.wanted(participants)
        self._measures = tuple(job.objective.measures)
        self._key = number(job.seed, Purpose.RECORD)
        self._waiting: dict[str, list[np.ndarray]] = {table: [] for table in self.tables}
        self._written = time.monotonic()

        latest: dict[str, Any] = {"libver": "latest", "locking": "best-effort"}
        with disk_full_errors(path, run=path.parent):
            with whole_file(path) as partial, writing_hdf5(partial, **latest) as file:
                self._make(file, job)
                if rows:
                    copy_rows(path, file, rows)
            self._file = h5py.File(path, "r+", **latest)
            self._handle = self._file.id.get_vfd_handle()
            with self._adding(0):
                self._file.swmr_mode = True

    def _make(self, file: h5py.File, job: Job) -> None:
        """Make the empty tables, with chunks of about the rows of one round."""
        file.attrs["higher_is_better"] = higher_is_better(job)
        share = job.record.sample_share if job.record.participants == "sample" else 1.0
        participants = job.selection.participants or job.clock.at_once(1)
        expected = {
            "rounds": 1.0,
            "participants": share * participants,
            "clients": CHUNK_ROWS[1],
            "messages": 1.0,
            "analytics": 1.0,
            "losses": 1.0,
        }

        for table, columns in self.tables.items():
            chunk = int(np.clip(expected[table], *CHUNK_ROWS))
            rows = file.create_dataset(
                table,
                (0,),
                row_type(columns),
                maxshape=(None,),
                chunks=(chunk,),
                compression=1,
                shuffle=True,
            )
            for column, (_, unit) in columns.items():
                rows.attrs[column] = unit

    def append(self, result: RoundResult) -> np.ndarray:
        """Add a round; return its /rounds row (an array of one).

        The rows of several rounds are written together: HDF5 takes a millisecond for one round as
        for a hundred.
        """
        participants = participant_rows(result)
        row = round_row(result, participants, self._wanted, self._plain, self._measures)
        participants = own_participants(participants, result, self._own, self._kinds_of)
        if self._attackers is not None:
            participants = marked_participants(participants, result, self._attackers)
            row = marked_round(row, result, participants)
        if "evaluations" in self.tables["rounds"]:
            participants = judged_participants(participants, result)
            row = judged_round(row, result)
        if self._secured:
            participants = secured_participants(participants, result.plan.timeline)
            row = secured_round(row, result.plan.timeline)
        if self._battery is not None:
            timeline = result.plan.timeline
            row, participants = with_battery(row, participants, timeline, self._battery)
        if "epsilon" in self.tables["rounds"]:
            row = with_columns(row, ROUND_PRIVATE)
            row["epsilon"], row["update_norm"], row["noise"] = result.privacy
        if "diverged" in self.tables["rounds"]:
            row = with_columns(row, ROUND_DIVERGED)
            row["diverged"] = result.diverged
        kept = participants[self._kept(participants["client"])]
        self._waiting["rounds"].append(row)
        self._waiting["participants"].append(kept)
        self._waiting["clients"].append(client_rows(result))
        self._waiting["messages"].append(result.messages)
        self._waiting["analytics"].append(analytics_rows(result))

        if time.monotonic() - self._written > WRITE_SECONDS:
            self._write()
        return row

    def _write(self) -> None:
        """Write the rows that are waiting."""
        for table, waiting in self._waiting.items():
            if waiting:
                self._add(table, np.concatenate(waiting))
                waiting.clear()
        self._written = time.monotonic()

    def _add(self, table: str, rows: np.ndarray) -> None:
        if not len(rows):
            return

        data = self._file[table]
        most_rows = len(rows) + data.chunks[0]  # the last chunk is written again
        with self._adding(most_rows * rows.itemsize):
            data.resize(len(data) + len(rows), axis=0)
            data[len(data) - len(rows) :] = rows
            data.flush()

    @contextlib.contextmanager
    def _adding(self, most_bytes: int) -> Iterator[None]:
        """Guard a block that grows the file by ``most_bytes``; after an error nothing is written.

        HDF5 cannot discard what it has not written: it tries again when it closes the file, and
        crashes at exit (HDF5 2.0.0). So after an error its file descriptor is replaced by one of
        memory. ``writing_hdf5`` hides the error in a Python file object instead. Here that cannot
        be: HDF5 does not mark such a file as open for SWMR writing, and readers refuse it.
        """
        with disk_full_errors(self._path, most_bytes, self._path.parent):
            try:
                yield
            except Exception:
                for waiting in self._waiting.values():
                    waiting.clear()
                with contextlib.suppress(OSError):
                    # If it is another file, HDF5 has closed it, and the descriptor is reused.
                    if os.path.samestat(os.fstat(self._handle), self._path.stat()):
                        memory = os.memfd_create(self._path.name)
                        os.dup2(memory, self._handle)
                        os.close(memory)
                raise

    def lost(self, round_number: int, ranks: int, wall_seconds: float) -> None:
        """Record a loss of ranks: the ``ranks`` that are left repeat round ``round_number``."""
        row = np.array([(round_number, ranks, wall_seconds)], row_type(self.tables["losses"]))
        self._add("losses", row)

    def rows(self) -> dict[str, int]:
        """Write all rows; return how many each table has."""
        self._write()
        return {table: len(self._file[table]) for table in self.tables}

    def rounds(self) -> Iterator[np.ndarray]:
        """Yield the /rounds rows so far, each an array of one."""
        self._write()
        for start in range(0, len(self._file["rounds"]), CHUNK_ROWS[1]):
            yield from self._file["rounds"][start : start + CHUNK_ROWS[1]][:, np.newaxis]

    def to_disk(self) -> None:
        """Wait until what was appended is on the disk."""
        with disk_full_errors(self._path, run=self._path.parent):
            to_disk(self._path)

    def _kept(self, clients: np.ndarray) -> np.ndarray:
        """Return which clients' rows are recorded (bool)."""
        if self._record.participants == "sample":
            return uniforms(np.ascontiguousarray(clients), self._key) < self._record.sample_share
        return np.full(len(clients), self._record.participants == "all")

    def close(self) -> None:
        """Write all rows and close the file."""
        try:
            self._write()
        finally:
            with self._adding(0):
                self._file.close()


@contextlib.contextmanager
def run_file(
    folder: Path,
    job: Job,
    rows: Mapping[str, int] | None = None,
    plain: Plain = NOT_CODED,
    attackers: Attackers | None = None,
    kinds_of: KindsOf | None = None,
) -> Iterator[RunFile]:
    """Open run.h5 of a run directory for the block; the arguments are those of RunFile."""
    file = RunFile(folder / "run.h5", job, rows, plain, attackers, kinds_of)
    try:
        yield file
    finally:
        file.close()
