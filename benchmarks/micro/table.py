"""What the measurements print: where they ran, and rows under a heading."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import mpifl


def machine() -> str:
    """The processor's name, and how many there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()


def versions(*packages: str) -> str:
    """mpifl, Python and ``packages`` with their versions."""
    return ", ".join(
        [
            f"mpifl {mpifl.__version__}",
            f"Python {platform.python_version()}",
            *(f"{p} {version(p)}" for p in packages),
        ]
    )


def show(title: str, rows: Sequence[Sequence[str]], *about: str) -> None:
    """Print a table whose first row is its heading; the first column is text, the others are aligned right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(title)
    for line in about:
        print(line)
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())
