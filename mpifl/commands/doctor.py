"""``mpifl doctor``: whether a run would work here, and what it would find."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpifl.commands.exits import wrong_input_ends
from mpifl.errors import DONE, FAILED, InputError

if TYPE_CHECKING:
    from mpifl.cluster.doctor import Finding, Probe

PROBE_SECONDS = 90
WIDE_COLUMNS = 140
COLOURS = {"ok": "", "warning": "yellow", "error": "red"}


def doctor(
    folder: Annotated[Path, typer.Argument(help="Where run directories are made.")] = Path(),
    ranks: Annotated[int | None, typer.Option("-n", min=1, help="Ranks; default: as `mpifl run`, at least 2.")] = None,
) -> None:
    """Look at MPI, the ranks, GPUs, Slurm and the file system; exit status 0 when a run would work, 1 when not."""
    from mpifl.cluster.doctor import works

    with wrong_input_ends():
        if not folder.is_dir():
            raise InputError(f"FOLDER: {folder}: no such folder; name the one that run directories are to be made in")
    findings = _findings(folder, ranks)
    _show(findings)
    errors = [finding.check for finding in findings if finding.status == "error"]
    warnings = [finding.check for finding in findings if finding.status == "warning"]
    noted = f" (worth a look: {', '.join(warnings)})" if warnings else ""
    print(f"A run would not work: {', '.join(errors)}." if errors else f"A run would work{noted}.")
    sys.exit(DONE if works(findings) else FAILED)


def _findings(folder: Path, ranks: int | None) -> list[Finding]:
    from mpifl.cluster import doctor as checks
    from mpifl.mpi.launch import default_ranks

    asked = ranks or max(2, default_ranks(os.environ))
    probe, problem = _probe(folder, asked)
    cores = len(os.sched_getaffinity(0))
    hosts = probe.hosts if probe else ()
    return [
        *(checks.rank_findings(probe, asked, cores) if probe else [problem]),
        checks.shared_memory_finding(checks.shared_memory_bytes(), hosts.count(hosts[0]) if hosts else asked),
        checks.gpu_finding(_gpus(), probe.gpus if probe else ()),
        checks.slurm_finding(_slurm_version(), os.environ),
        *checks.folder_findings(folder, probe.blind_hosts if probe else (), len(set(hosts))),
        checks.torch_finding(*_torch()),
    ]


def _probe(folder: Path, ranks: int) -> tuple[Probe | None, Finding]:
    """What the ranks say, or why they say nothing."""
    from mpifl.cluster.doctor import Finding, Probe
    from mpifl.mpi.launch import LaunchError, command

    def failed(found: str, means: str) -> tuple[None, Finding]:
        return None, Finding("MPI", "error", found, means)

    try:
        line = command(ranks, [], os.environ)
    except LaunchError as error:
        return failed("no ranks can be started", str(error))
    with tempfile.NamedTemporaryFile(prefix=".mpifl-doctor-", dir=folder if os.access(folder, os.W_OK) else None) as token:
        line[line.index("mpifl.run") :] = ["mpifl.mpi.probe", os.path.abspath(token.name)]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return failed(f"{ranks} ranks did not end in {PROBE_SECONDS} s", "they start and do not reach each other")
    said = [text for text in done.stdout.splitlines() if text.startswith("{")]
    if done.returncode or not said:
        last = [text.strip() for text in done.stderr.splitlines() if text.strip(" -")]
        return failed(f"{ranks} ranks ended with status {done.returncode}", " ".join(last[:3]) or "they said nothing")
    return Probe(**json.loads(said[0])), Finding("MPI", "ok", "", "")


def _gpus() -> list[str]:
    """Names of the GPUs that the NVIDIA driver lists."""
    said = _said(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return [line.strip() for line in said.splitlines() if line.strip()] if said else []


def _slurm_version() -> str | None:
    """What sbatch says; empty where it finds no cluster, None where there is no sbatch."""
    if shutil.which("sbatch") is None:
        return None
    return (_said(["sbatch", "--version"]) or "").strip()


def _said(line: list[str]) -> str | None:
    """What a program prints; None where it is not there or fails."""
    if shutil.which(line[0]) is None:
        return None
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def _torch() -> tuple[str | None, str]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return None, str(error).splitlines()[0]
    return torch.__version__, ""


def _show(findings: list[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and console.width < WIDE_COLUMNS:
        console.width = WIDE_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("", "check", "found", "what it means"):
        table.add_column(heading, no_wrap=heading in ("", "check"))
    for finding in findings:
        table.add_row(finding.status, finding.check, finding.found, finding.means, style=COLOURS[finding.status])
    console.print(table)
