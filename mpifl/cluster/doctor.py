"""Would a run work here, and how well: every check is a plain function from what was found to what that means.

What the ranks find (mpifl/mpi/probe.py) comes as a Probe; the rest is looked at here. Nothing here imports MPI.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mpifl.errors import counted
from mpifl.io.files import to_disk

Status = Literal["ok", "warning", "error"]
MODEL_WEIGHTS = 1_000_000
ROUND_BYTES = 12 * MODEL_WEIGHTS  # down as float32, back as the int64 of the exact sum
SLOW_LATENCY_SECONDS = {"within a node": 50e-6, "between nodes": 500e-6}
SLOW_BYTES_PER_SECOND = {"within a node": 500e6, "between nodes": 50e6}
SHARED_BYTES_PER_RANK = 16 << 20
FREE_BYTES = 1 << 30
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what that means for a run. An ``error`` is what no run would work with."""

    check: str
    status: Status
    found: str
    means: str


@dataclass(frozen=True)
class Probe:
    """What the ranks said, as mpifl/mpi/probe.py prints it.

    ``hosts`` and ``gpus`` by rank, ``messages`` by place, units in
    their names. A rank without a GPU of its own has an empty name.
    """

    library: str
    standard: str
    threads: str
    recovers: bool
    cuda: bool | None
    hosts: tuple[str, ...]
    gpus: tuple[str, ...]
    blind_hosts: tuple[str, ...]
    messages: Mapping[str, Mapping[str, float]]


def works(findings: list[Finding]) -> bool:
    """Whether a run would work: no check is an error."""
    return all(finding.status != "error" for finding in findings)


def rank_findings(probe: Probe, asked: int, cores: int) -> list[Finding]:
    """What the ranks found; ``asked`` ranks were started, this node has ``cores`` for them."""
    return [
        Finding("MPI", "ok", f"{probe.library} (MPI {probe.standard})", "its mpirun starts the ranks"),
        _ranks(probe, asked, cores),
        _loss(probe.recovers),
        _threads(probe.threads),
        *(_messages(where, found) for where, found in probe.messages.items()),
        _cuda(probe.cuda),
    ]


def _ranks(probe: Probe, asked: int, cores: int) -> Finding:
    found = "; ".join(f"{count} on {host}" for host, count in Counter(probe.hosts).items())
    if len(probe.hosts) != asked:
        means = "every rank is alone: mpirun and the library are of different MPIs; load one MPI only"
        return Finding("ranks per node", "error", f"{len(probe.hosts)} of {asked}", means)
    here, on_cores = Counter(probe.hosts)[probe.hosts[0]], counted(cores, "core")
    if here > cores + 1:
        means = f"{on_cores}: ranks take turns, and the run is slower; start at most {cores + 1} (rank 0 mostly waits)"
        return Finding("ranks per node", "warning", found, means)
    return Finding("ranks per node", "ok", found, f"rank 0 aggregates, {max(1, asked - 1)} train; {on_cores} on this node")


def _loss(recovers: bool) -> Finding:
    if recovers:
        return Finding("loss of a rank", "ok", "ULFM", "the other ranks go on, to the same bits")
    means = "the run ends, and --resume goes on from its last checkpoint; Open MPI 5 built with ULFM would go on by itself"
    return Finding("loss of a rank", "warning", "no ULFM", means)


def _threads(level: str) -> Finding:
    if level == "single":
        means = "checkpoints are written by a thread of rank 0, beside MPI; most libraries work all the same"
        return Finding("thread level", "warning", level, means)
    return Finding("thread level", "ok", level, "enough: one thread of a rank calls MPI, checkpoints are written by another")


def _messages(where: str, found: Mapping[str, float]) -> Finding:
    latency, bandwidth = found["latency_seconds"], found["bytes_per_second"]
    said = f"{1e6 * latency:.1f} us, {bandwidth / 1e9:.2f} GB/s"
    milliseconds = 1e3 * ROUND_BYTES / bandwidth
    means = f"a round moves a model of {MODEL_WEIGHTS:,} weights in about {milliseconds:.1f} ms a step of the tree"
    slow = not (latency <= SLOW_LATENCY_SECONDS[where] and bandwidth >= SLOW_BYTES_PER_SECOND[where])
    if slow:
        why = "does MPI use the fast network?" if where == "between nodes" else "are the cores busy with something else?"
        return Finding(f"messages {where}", "warning", said, f"{means}: slow; {why}")
    return Finding(f"messages {where}", "ok", said, means)


def _cuda(knows: bool | None) -> Finding:
    found = {True: "yes", False: "no", None: "it does not say"}[knows]
    return Finding("CUDA-aware MPI", "ok", found, "not needed: updates are summed in the host's memory")


def shared_memory_finding(free_bytes: int | None, ranks_here: int) -> Finding:
    """Of /dev/shm, through which the ranks of a node speak; None where there is none."""
    if free_bytes is None:
        return Finding("shared memory", "warning", "no /dev/shm", "MPI puts its files elsewhere, on a disk perhaps: slower")
    found = f"{free_bytes / 2**20:,.0f} MiB free"
    if free_bytes < ranks_here * SHARED_BYTES_PER_RANK:
        need = ranks_here * SHARED_BYTES_PER_RANK // 2**20
        means = f"{counted(ranks_here, 'rank')} may want {need} MiB; in a container give it more (--shm-size)"
        return Finding("shared memory", "warning", found, means)
    return Finding("shared memory", "ok", found, "ranks of a node exchange through it")


def gpu_finding(names: list[str], by_rank: Sequence[str] = ()) -> Finding:
    """Of the GPUs that this node's driver lists, and which of the allocation's each rank has."""
    listed = "; ".join(f"{count} x {name}" for name, count in Counter(names).items()) or "none found"
    if not any(by_rank):
        means = "training.device=cuda trains there, on each rank's own" if names else "not needed: jobs train on cores"
        return Finding("GPUs", "ok", listed, means)
    shared = ", ".join(f"{name}: {counted(count, 'rank')}" for name, count in sorted(Counter(filter(None, by_rank)).items()))
    return Finding("GPUs", "ok", listed, f"shared out by rank on the node ({shared}); training.device=cuda trains there")


def slurm_finding(version: str | None, environment: Mapping[str, str]) -> Finding:
    """Of Slurm's version (None: no sbatch on PATH; empty: it does not answer) and of an allocation that this is inside."""
    if "SLURM_JOB_ID" in environment:
        tasks = environment.get("SLURM_NTASKS", "1")
        found = f"job {environment['SLURM_JOB_ID']}: {environment.get('SLURM_JOB_NUM_NODES', '1')} node(s), {tasks} tasks"
        return Finding("Slurm", "ok", found, f"mpifl run starts {tasks} ranks by itself")
    if version is None:
        return Finding("Slurm", "ok", "none found", "mpifl slurm prints scripts, and cannot submit them from here")
    if not version:
        return Finding("Slurm", "warning", "sbatch finds no cluster", "is this a login node? mpifl slurm prints scripts")
    return Finding("Slurm", "ok", version, "mpifl slurm JOB --submit submits to it")


def torch_finding(version: str | None, problem: str = "") -> Finding:
    """Of the torch that is installed; None where it cannot be imported, and why."""
    if version is None:
        return Finding("torch", "error", problem, "no job can train; install mpifl as the README says")
    return Finding("torch", "ok", version, "trains; the bits depend on this version and on the processor")


def folder_findings(folder: Path, blind_hosts: tuple[str, ...], nodes: int) -> list[Finding]:
    """Of the file system that run directories are made on: HDF5, locks, room, and whether every node sees it."""
    kind = file_system(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".mpifl-doctor-", dir=folder) as made:
            written = _write_and_follow(Path(made) / "rows.h5")
            locks = _locks(Path(made) / "lock")
        free = shutil.disk_usage(folder).free
    except (OSError, RuntimeError) as error:  # HDF5 says RuntimeError of what it could not write at the end
        problem = f"{folder}: {getattr(error, 'strerror', None) or error}"
        return [Finding("run directory", "error", problem, "a run could not write its results; choose another folder")]
    return [
        _where(folder, kind, free, blind_hosts, nodes),
        Finding("HDF5", "ok", f"h5py {written}", "run.h5 is written, and read while it is written"),
        _locking(locks, kind),
    ]


def _where(folder: Path, kind: str, free: int, blind_hosts: tuple[str, ...], nodes: int) -> Finding:
    found = f"{folder.resolve()} ({kind}, {free / 1e9:,.1f} GB free)"
    if blind_hosts:
        means = f"{', '.join(blind_hosts)} cannot see it: a run on several nodes needs a shared file system, for its cache too"
        return Finding("run directory", "error", found, means)
    if free < FREE_BYTES:
        return Finding("run directory", "warning", found, "little room: a checkpoint holds the model and every client's state")
    means = "every node sees it" if nodes > 1 else "results can be written"
    return Finding("run directory", "ok", found, means)


def _locking(works_here: bool, kind: str) -> Finding:
    if not works_here:
        means = "nothing keeps two runs out of one directory here: do not submit the same one twice"
        return Finding("file locks", "warning", f"none on {kind}", means)
    if kind in NETWORK_FILE_SYSTEMS or kind == "lustre":
        means = "keep two runs out of one directory; between nodes only if the file system is mounted so (Lustre: -o flock)"
        return Finding("file locks", "ok", f"work here, on {kind}", means)
    return Finding("file locks", "ok", "work", "a second run is kept out of a directory that has one")


def _write_and_follow(path: Path) -> str:
    """Write rows as run.h5 is written and read them meanwhile; returns h5py's version. Raises OSError."""
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
    """Whether a second exclusive lock is refused. Raises OSError when the file cannot be made."""
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
    """The type of the file system that holds a folder, such as ext4 or lustre."""
    best, kind = -1, "unknown"
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return kind
    place = folder.resolve()
    for line in lines:
        _, point, name, *_ = line.split(" ")
        mounted = Path(point.encode().decode("unicode_escape"))  # a space is written \040
        # Of mounts on the same point the last one is seen.
        if place.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), name
    return kind


def shared_memory_bytes(folder: Path = Path("/dev/shm")) -> int | None:  # noqa: S108
    """Free bytes of /dev/shm; None where there is none."""
    return shutil.disk_usage(folder).free if folder.is_dir() and os.access(folder, os.W_OK) else None
