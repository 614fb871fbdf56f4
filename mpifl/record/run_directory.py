"""The run directory: made at the start, ended with summary.json; run_file.py has run.h5."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mpifl import __version__
from mpifl.cluster.rank_report import processor
from mpifl.errors import InputError
from mpifl.io.files import PACKAGE, PARTIAL, disk_full_errors, write_text
from mpifl.job.environment import ENVIRONMENT
from mpifl.job.plug_in import COPIES, PlugIn
from mpifl.record.run_folders import CHECKPOINTS, LOCK

LIBRARIES = ("torch", "numpy", "numba", "h5py", "mpi4py", "pydantic", "scikit-learn")


def check_empty(option: str, folder: str, more: str = "", begun: bool = False) -> None:
    """Raise InputError when the folder that ``option`` names is a file, or is not empty.

    ``more`` is added to the message about a folder that is not empty. A lock alone does not count.
    With ``begun`` it may have what a killed start leaves: copies of plug-ins, and files that are
    not whole.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise InputError(f"{option}: {folder}: is a file; name a new folder")
    found = [one for one in path.iterdir() if not _is_lock(one)] if path.is_dir() else []
    if any(not (begun and (one.name == COPIES or fnmatch(one.name, PARTIAL))) for one in found):
        raise InputError(
            f"{option}: {folder}: not empty{more}; name a new folder, or remove what is there"
        )


def _is_lock(path: Path) -> bool:
    """Return whether a folder has nothing but a run's lock."""
    return path.name == CHECKPOINTS and path.is_dir() and {*os.listdir(path)} <= {LOCK}


def make_run_directory(
    out: str | None, name: str, parent: str = "runs", resume: str | None = None
) -> Path:
    """Make the run directory and return it. Raises InputError.

    It is ``out``, the user's --out, which must be new or empty, or ``resume``, the user's --resume,
    which may have what a killed start leaves. With neither it is the first of runs/NAME,
    runs/NAME-2, ... that does not exist; ``parent`` replaces ``runs``.
    """
    asked, option = (out, "--out") if resume is None else (resume, "--resume")
    try:
        if asked is not None:
            folder = Path(asked)
            with disk_full_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            check_empty(option, asked, begun=resume is not None)
            return folder

        with disk_full_errors(Path(parent)):
            Path(parent).mkdir(exist_ok=True)
        number = 1
        while True:
            folder = Path(parent) / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError), disk_full_errors(folder):
                folder.mkdir()
                return folder
            number += 1
    except OSError as error:
        raise InputError(f"{option}: {error.filename}: {error.strerror}") from error


def write_environment(
    folder: Path,
    mpi: str,
    ranks: Sequence[Mapping[str, Any]],
    hashes: Mapping[str, str],
    plug_ins: Mapping[str, PlugIn] | None = None,
) -> None:
    """Write environment.json: versions, hosts and hashes, to which a result can be traced.

    ``ranks`` are the groups of ranks that compute alike (mpifl/cluster/rank_report.py).
    ``plug_ins`` are by the key that names them, such as ``algorithm.name``. The environments
    before each resume are kept under ``earlier``.
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

    path = folder / ENVIRONMENT
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        environment["earlier"] = [*before.pop("earlier", []), before]
    with disk_full_errors(path, run=folder):
        write_text(path, json.dumps(environment, indent=2) + "\n")


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json, the last file of a run: if it exists, the run is complete."""
    path = folder / "summary.json"
    with disk_full_errors(path, run=folder):
        write_text(path, json.dumps(summary, indent=2) + "\n")


def _git_state() -> str | None:
    """Return the commit of a checkout, with +changes if files differ; None if installed."""
    if not (PACKAGE.parent / ".git").exists():
        return None

    try:
        commit, changes = [
            subprocess.run(
                ["git", "-C", str(PACKAGE.parent), *command],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changes else "")
