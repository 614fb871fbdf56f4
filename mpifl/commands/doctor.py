"""``mpifl doctor``: whether a run would work here, and under which conditions."""

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
from mpifl.commands.output import standard_output
from mpifl.errors import DONE, FAILED, InputError, counted

if TYPE_CHECKING:
    from mpifl.cluster.doctor import Finding, Probe

PROBE_SECONDS = 90
WIDE_COLUMNS = 140
COLOURS = {"ok": "", "warning": "yellow", "error": "red"}


def doctor(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where run directories are made.")
    ] = Path(),
    ranks: Annotated[
        int | None,
        typer.Option(
            "-n", min=1, metavar="N", help="Ranks to try; default: as `mpifl run`, at least 2."
        ),
    ] = None,
) -> None:
    """Check MPI, the ranks, GPUs, Slurm and the file system.

    The exit status is 0 when a run would work, and 1 when not.
    """
    from mpifl.cluster.doctor import works

    with wrong_input_ends():
        if not folder.is_dir():
            raise InputError(
                f"FOLDER: {folder}: no such folder; name the one that run directories are to be"
                " made in"
            )

    findings = _findings(folder, ranks)
    _show(findings)

    errors = [finding.check for finding in findings if finding.status == "error"]
    warnings = [finding.check for finding in findings if finding.status == "warning"]
    if errors:
        print(f"A run would not work: {', '.join(errors)}.")
    else:
        noted = f" (warnings: {', '.join(warnings)})" if warnings else ""
        print(f"A run would work{noted}.")
    sys.exit(DONE if works(findings) else FAILED)


def _findings(folder: Path, ranks: int | None) -> list[Finding]:
    """Return the findings of all checks."""
    from mpifl.cluster import doctor as checks
    from mpifl.cluster.file_checks import folder_findings
    from mpifl.mpi.launch import default_ranks

    asked = ranks or max(2, default_ranks(os.environ))
    probe, problem = _probe(folder, asked)
    cores = len(os.sched_getaffinity(0))
    hosts = probe.hosts if probe else ()
    ranks_here = hosts.count(hosts[0]) if hosts else asked

    return [
        *(checks.rank_findings(probe, asked, cores) if probe else [problem]),
        checks.shared_memory_finding(checks.shared_memory_bytes(), ranks_here),
        checks.gpu_finding(_gpus(), probe.gpus if probe else ()),
        checks.slurm_finding(_slurm_version(), os.environ),
        *folder_findings(folder, probe.blind_hosts if probe else (), len(set(hosts))),
        checks.torch_finding(*_torch()),
    ]


def _probe(folder: Path, ranks: int) -> tuple[Probe | None, Finding]:
    """Return what the ranks observe, or None and a finding that says why there is nothing."""
    from mpifl.cluster.doctor import Finding, Probe
    from mpifl.mpi.launch import LaunchError, command

    def failed(found: str, means: str) -> tuple[None, Finding]:
        return None, Finding("MPI", "error", found, means)

    token_folder = folder if os.access(folder, os.W_OK) else None
    with tempfile.NamedTemporaryFile(prefix=".mpifl-doctor-", dir=token_folder) as token:
        arguments = [os.path.abspath(token.name)]
        try:
            line = command(ranks, arguments, os.environ, "mpifl.mpi.probe")
            done = subprocess.run(
                line, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
            )
        except LaunchError as error:
            return failed("no ranks can be started", str(error))
        except subprocess.TimeoutExpired:
            return failed(
                f"{counted(ranks, 'rank')} did not end in {PROBE_SECONDS} s",
                "they start but cannot reach each other",
            )

    results = [text for text in done.stdout.splitlines() if text.startswith("{")]
    if done.returncode or not results:
        errors = [text.strip() for text in done.stderr.splitlines() if text.strip(" -")]
        return failed(
            f"{counted(ranks, 'rank')} ended with status {done.returncode}",
            " ".join(errors[:3]) or "they printed nothing",
        )
    return Probe(**json.loads(results[0])), Finding("MPI", "ok", "", "")


def _gpus() -> list[str]:
    """Return the names of the GPUs that the NVIDIA driver lists."""
    output = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]) or ""
    return [line.strip() for line in output.splitlines() if line.strip()]


def _slurm_version() -> str | None:
    """Return sbatch's version, empty if it finds no cluster, None if there is no sbatch."""
    if shutil.which("sbatch") is None:
        return None
    return (_output(["sbatch", "--version"]) or "").strip()


def _output(line: list[str]) -> str | None:
    """Return what a program prints, None if it does not exist or fails."""
    if shutil.which(line[0]) is None:
        return None
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def _torch() -> tuple[str | None, str]:
    """Return torch's version; or None, and why it cannot be imported."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return None, str(error).splitlines()[0]
    return torch.__version__, ""


def _show(findings: list[Finding]) -> None:
    """Print the findings as a table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("", "check", "found", "what it means"):
        table.add_column(heading, no_wrap=heading in ("", "check"))
    for finding in findings:
        table.add_row(
            finding.status,
            finding.check,
            finding.found,
            finding.means,
            style=COLOURS[finding.status],
        )
    standard_output(WIDE_COLUMNS).print(table)
