"""The checks of `mpifl doctor` on the file system that holds run directories."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path

from mpifl.cluster.doctor import Finding
from mpifl.io.files import to_disk

FREE_BYTES = 1 << 30
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")


def folder_findings(folder: Path, blind_hosts: tuple[str, ...], nodes: int) -> list[Finding]:
    """Return the findings on ``folder``: HDF5, locks, free space, and whether every node sees it.

    ``blind_hosts`` are those of the ``nodes`` that do not see it.
    """
    kind = file_system(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".mpifl-doctor-", dir=folder) as made:
            version = _write_and_follow(Path(made) / "rows.h5")
            locks = _locks(Path(made) / "lock")
        free = shutil.disk_usage(folder).free
    # HDF5 raises RuntimeError for what it could not write when it closes a file.
    except (OSError, RuntimeError) as error:
        problem = f"{folder}: {getattr(error, 'strerror', None) or error}"
        means = "a run could not write its results; choose another folder"
        return [Finding("run directory", "error", problem, means)]

    return [
        _run_directory(folder, kind, free, blind_hosts, nodes),
        Finding("HDF5", "ok", f"h5py {version}", "run.h5 is written, and read while it is written"),
        _locking(locks, kind),
    ]


def _run_directory(
    folder: Path, kind: str, free: int, blind_hosts: tuple[str, ...], nodes: int
) -> Finding:
    found = f"{folder.resolve()} ({kind}, {free / 1e9:,.1f} GB free)"
    if blind_hosts:
        means = (
            f"{', '.join(blind_hosts)} cannot see it: a run on several nodes needs a shared file"
            " system, for its cache too"
        )
        return Finding("run directory", "error", found, means)
    if free < FREE_BYTES:
        means = "little space: a checkpoint holds the model and every client's state"
        return Finding("run directory", "warning", found, means)
    means = "every node sees it" if nodes > 1 else "results can be written"
    return Finding("run directory", "ok", found, means)


def _locking(works_here: bool, kind: str) -> Finding:
    if not works_here:
        means = "nothing keeps two runs out of one directory here: do not submit the same one twice"
        return Finding("file locks", "warning", f"none on {kind}", means)
    if kind in NETWORK_FILE_SYSTEMS or kind == "lustre":
        means = (
            "keep two runs out of one directory; between nodes only if the file system is mounted"
            " so (Lustre: -o flock)"
        )
        return Finding("file locks", "ok", f"work here, on {kind}", means)
    means = "a second run is kept out of a directory that has one"
    return Finding("file locks", "ok", "work", means)


def _write_and_follow(path: Path) -> str:
    """Write rows as run.h5 is written and read them meanwhile; return h5py's version.

    Raises OSError and RuntimeError.
    """
    import h5py
    import numpy as np

    with h5py.File(path, "w", libver="latest", locking="best-effort") as file:
        rows = file.create_dataset("rows", (0,), "i8", maxshape=(None,), chunks=(64,))
        file.swmr_mode = True
        rows.resize(3, axis=0)
        rows[:] = np.arange(3)
        rows.flush()
        with h5py.File(path, "r", swmr=True, locking="best-effort") as reader:
            read = reader["rows"][:].tolist()

    to_disk(path)
    if read != [0, 1, 2]:
        raise OSError(f"HDF5 read {read} where 0, 1, 2 was written")
    return str(h5py.__version__)


def _locks(path: Path) -> bool:
    """Return whether a second exclusive lock on a file is refused.

    Raises OSError when the file cannot be made.
    """
    with open(path, "wb") as first, open(path, "wb") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system that holds a folder, such as ext4 or lustre."""
    kind = "unknown"
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return kind

    longest = -1
    path = folder.resolve()
    for line in lines:
        _, point, name, *_ = line.split(" ")
        mounted = Path(point.encode().decode("unicode_escape"))  # a space is written \040
        # Of several mounts on the same point the last one is seen.
        if path.is_relative_to(mounted) and len(mounted.parts) >= longest:
            longest = len(mounted.parts)
            kind = name
    return kind
