"""Kernels are compiled once, and whoever waits for that is told why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from mpifl.io.files import PACKAGE
from mpifl.kernels.notice import COMPILING

SMALL = ("reddit-timing", "rounds=1", "population.clients=100", "selection.participants=2")


def test_the_first_run_of_a_version_says_that_it_compiles_and_the_second_does_not(
    tmp_path: Path,
) -> None:
    """A copy of the package has a cache of its own, with nothing in it."""
    for name in ("mpifl", "jobs", "traces"):
        shutil.copytree(
            PACKAGE.parent / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    line = [sys.executable, "-m", "mpifl.run", *SMALL]
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    said = []
    for _ in range(2):
        done = subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append([text for text in done.stderr.splitlines() if text.startswith("mpifl: ")])
    assert said == [[f"mpifl: {COMPILING}"], []]
