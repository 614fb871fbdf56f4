"""The run directory: made once, filled round by round, summed up at the end."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mpifl import __version__
from mpifl.cluster.rank_report import processor
from mpifl.errors import InputError
from mpifl.io.files import PACKAGE, disk_full_errors, to_disk, whole_file, write_text
from mpifl.io.hdf5 import check_heaps, hdf5_errors, writing_hdf5
from mpifl.job import Job
from mpifl.job.plug_in import ENVIRONMENT, PlugIn
from mpifl.kernels.permutation import uniforms
from mpifl.record.tables import TABLES, client_rows, participant_rows, round_row, row_type
from mpifl.rounds.round_result import RoundResult
from mpifl.seeds import Purpose, number

WRITE_SECONDS = 0.5
READ_SECONDS, SLOWEST_BYTES_A_SECOND = 30.0, 1e6
CHUNK_ROWS = 64, 16_384  # least and most; a chunk that holds a round is written once and not again for the next
SUPERBLOCK_FLAGS = 11  # the byte at which they stand
LIBRARIES = ("torch", "numpy", "numba", "h5py", "mpi4py", "pydantic", "scikit-learn")


def check_empty(option: str, folder: str, more: str = "") -> None:
    """Raise InputError for a folder that an option names, when it is a file or has something in it; ``more`` is said then."""
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise InputError(f"{option}: {folder}: is a file; name a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"{option}: {folder}: not empty{more}; name a new folder, or remove what is there")


def make_run_directory(out: str | None, name: str) -> Path:
    """``--out`` as the user gave it, which is new or empty, else runs/NAME, runs/NAME-2, ... Raises InputError."""
    try:
        if out is not None:
            folder = Path(out)
            with disk_full_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            check_empty("--out", out)
            return folder
        with disk_full_errors(Path("runs")):
            Path("runs").mkdir(exist_ok=True)
        number = 1
        while True:
            folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError), disk_full_errors(folder):
                folder.mkdir()
                return folder
            number += 1
    except OSError as error:
        raise InputError(f"--out: {error.filename}: {error.strerror}") from error


class RunFile:
    """run.h5 as it grows: one append a round. Readers may follow it while it is written (HDF5's SWMR), WRITE_SECONDS behind.

    Of a run that goes on ``rows`` says how many rows of each table stay; the file is written anew with those.
    Everything that writes raises DiskFull; what was written before can be read then.
    """

    def __init__(self, path: Path, job: Job, rows: Mapping[str, int] | None = None) -> None:
        self._path, self._record, self._key = path, job.record, number(job.seed, Purpose.RECORD)
        self._waiting: dict[str, list[np.ndarray]] = {table: [] for table in TABLES}
        self._written = time.monotonic()
        latest: dict[str, Any] = {"libver": "latest", "locking": "best-effort"}
        with disk_full_errors(path, run=path.parent):
            with whole_file(path) as partial, writing_hdf5(partial, **latest) as file:
                self._make(file, job)
                if rows:
                    _copy_rows(path, file, rows)
            self._file = h5py.File(path, "r+", **latest)
            self._handle = self._file.id.get_vfd_handle()
            with self._adding(0):
                self._file.swmr_mode = True

    def _make(self, file: h5py.File, job: Job) -> None:
        share = job.record.sample_share if job.record.participants == "sample" else 1.0
        a_round = job.selection.participants or job.clock.at_once(1)
        expected = {"rounds": 1.0, "participants": share * a_round, "clients": CHUNK_ROWS[1], "losses": 1.0}
        for table, columns in TABLES.items():
            chunk = int(np.clip(expected[table], *CHUNK_ROWS))
            rows = file.create_dataset(
                table, (0,), row_type(columns), maxshape=(None,), chunks=(chunk,), compression=1, shuffle=True
            )
            for column, (_, unit) in columns.items():
                rows.attrs[column] = unit

    def append(self, result: RoundResult) -> np.ndarray:
        """Note a round; returns its /rounds row (an array of one).

        Rows are written several rounds at a time: HDF5 takes a millisecond for one as for a hundred.
        """
        participants = participant_rows(result)
        row = round_row(result, participants)
        kept = participants[self._kept(participants["client"])]
        for table, rows in (("rounds", row), ("participants", kept), ("clients", client_rows(result))):
            self._waiting[table].append(rows)
        if time.monotonic() - self._written > WRITE_SECONDS:
            self._write()
        return row

    def _write(self) -> None:
        """Write the rows that wait."""
        for table, waiting in self._waiting.items():
            if waiting:
                self._add(table, np.concatenate(waiting))
                waiting.clear()
        self._written = time.monotonic()

    def _add(self, table: str, rows: np.ndarray) -> None:
        if not len(rows):
            return
        data = self._file[table]
        with self._adding((len(rows) + data.chunks[0]) * rows.itemsize):  # its last chunk is written again
            data.resize(len(data) + len(rows), axis=0)
            data[len(data) - len(rows) :] = rows
            data.flush()

    @contextlib.contextmanager
    def _adding(self, most_bytes: int) -> Iterator[None]:
        """Where the file grows, by ``most_bytes``. Where that fails no more is written to it.

        HDF5 cannot give up what it has not written: it tries again when it closes the file, and crashes at exit (HDF5 2.0.0).
        What its handle stands for from then on is memory.
        """
        with disk_full_errors(self._path, most_bytes, self._path.parent):
            try:
                yield
            except Exception:
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.fstat(self._handle), self._path.stat()):  # else closed, and maybe another's by now
                        memory = os.memfd_create(self._path.name)
                        os.dup2(memory, self._handle)
                        os.close(memory)
                raise

    def lost(self, round_number: int, ranks: int, wall_seconds: float) -> None:
        """Note that ranks were lost: ``ranks`` are left, and take up ``round_number`` again."""
        self._add("losses", np.array([(round_number, ranks, wall_seconds)], row_type(TABLES["losses"])))

    def rows(self) -> dict[str, int]:
        """How many rows each table has, all of them written."""
        self._write()
        return {table: len(self._file[table]) for table in TABLES}

    def rounds(self) -> Iterator[np.ndarray]:
        """The /rounds rows so far, an array of one each."""
        self._write()
        for start in range(0, len(self._file["rounds"]), CHUNK_ROWS[1]):
            yield from self._file["rounds"][start : start + CHUNK_ROWS[1]][:, np.newaxis]

    def to_disk(self) -> None:
        """Wait until what was appended is on the disk."""
        with disk_full_errors(self._path, run=self._path.parent):
            to_disk(self._path)

    def _kept(self, clients: np.ndarray) -> np.ndarray:
        """Whose rows are kept (bool)."""
        if self._record.participants == "sample":
            return uniforms(np.ascontiguousarray(clients), self._key) < self._record.sample_share
        return np.full(len(clients), self._record.participants == "all")

    def close(self) -> None:
        """Nothing more will be written."""
        try:
            self._write()
        finally:
            with self._adding(0):
                self._file.close()


def _left_open(path: Path) -> bool:
    """Whether a file says that it is still being written, as one does whose run was killed (flags of HDF5's superblock).

    Only then it is read as such: HDF5 waits for what is damaged in it to become whole, a minute and more.
    """
    with open(path, "rb") as file:
        return file.read(SUPERBLOCK_FLAGS + 1)[SUPERBLOCK_FLAGS:] not in (b"", b"\0")


READS_ALL = """
import sys, h5py
with h5py.File(sys.argv[1], "r", swmr=True, locking="best-effort") as file:
    for table in file.values():
        for start in range(0, len(table), 65536):
            table[start : start + 65536]
"""


def _check_reads(path: Path) -> None:
    """Raise ValueError for a file of a killed run over which HDF5 waits for ever, or dies: it is read elsewhere first."""
    limit = READ_SECONDS + path.stat().st_size / SLOWEST_BYTES_A_SECOND
    try:
        done = subprocess.run([sys.executable, "-c", READS_ALL, str(path)], capture_output=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"HDF5 has not read it within {limit:.0f} s: it is cut off or damaged") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"HDF5 crashed over it ({done.returncode})"]
        raise ValueError(said[-1])


def _copy_rows(old: Path, file: h5py.File, rows: Mapping[str, int]) -> None:
    """The first ``rows`` of each table. Raises InputError when the old file does not have them."""
    check_heaps(old)
    left_open = _left_open(old)
    with hdf5_errors(old):
        if left_open:
            _check_reads(old)
    with hdf5_errors(old), h5py.File(old, "r", swmr=left_open, locking="best-effort") as before:
        for table, count in rows.items():
            if len(before[table]) < count:
                raise ValueError(f"{table} has {len(before[table])} rows, the checkpoint was made with {count}")
            file[table].resize(count, axis=0)
            for start in range(0, count, CHUNK_ROWS[1]):
                stop = min(start + CHUNK_ROWS[1], count)
                file[table][start:stop] = before[table][start:stop]


@contextlib.contextmanager
def run_file(folder: Path, job: Job, rows: Mapping[str, int] | None = None) -> Iterator[RunFile]:
    """run.h5 of a run directory, closed at the end; ``rows`` as in RunFile."""
    file = RunFile(folder / "run.h5", job, rows)
    try:
        yield file
    finally:
        file.close()


def write_environment(
    folder: Path,
    mpi: str,
    ranks: Sequence[Mapping[str, Any]],
    hashes: Mapping[str, str],
    plug_ins: Mapping[str, PlugIn] | None = None,
) -> None:
    """Write environment.json: what the run ran on, so that a figure can be traced to it; also of the parts before a resume.

    ``ranks`` are the groups of ranks that compute alike (mpifl/cluster/rank_report.py). ``plug_ins`` are by the key that names them,
    such as ``algorithm.name``.
    """
    environment = {
        "mpifl": __version__,
        "git": _git_state(),
        "python": platform.python_version(),
        "mpi": mpi,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "processor": processor(),
        "ranks_by_host": dict(sum((Counter(group["hosts"]) for group in ranks), Counter())),
        "ranks": list(ranks),
        "command": sys.argv,
        "content_sha256": dict(hashes),
        "plug_ins": {key: plug_in.facts() for key, plug_in in (plug_ins or {}).items()},
    }
    path, earlier = folder / ENVIRONMENT, []
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        earlier = [*before.pop("earlier", []), before]
    with disk_full_errors(path, run=folder):
        write_text(path, json.dumps(environment | ({"earlier": earlier} if earlier else {}), indent=2) + "\n")


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """summary.json, the last file of a run: where it stands, the run is whole."""
    path = folder / "summary.json"
    with disk_full_errors(path, run=folder):
        write_text(path, json.dumps(summary, indent=2) + "\n")


def _git_state() -> str | None:
    """Commit of a checkout, with +changes where files differ from it; None for an installed package."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    try:
        run = [
            subprocess.run(["git", "-C", str(PACKAGE.parent), *command], capture_output=True, text=True, check=True, timeout=10)
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return run[0].stdout.strip() + ("+changes" if run[1].stdout.strip() else "")
