"""Runs one algorithm on one workload and reads what it gave."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mpifl
from benchmarks.algorithms.workloads import EXTRA, OPTIONS, Workload

SCORES = ("accuracy", "client_accuracy", "worst_decile_accuracy")
SECONDS = 3600


def run(workload: Workload, algorithm: str, seed: int, data: str | None) -> dict[str, Any]:
    """Return the scores of a run by round, its virtual time, bytes and joules; or its error."""
    section = json.dumps({"name": algorithm, **OPTIONS.get(algorithm, {})})
    rounds = workload.rounds
    extra = list(EXTRA.get(algorithm, ()))
    if any("mode: async" in change for change in extra):
        rounds *= 10  # a round is one update
        extra.append("evaluation.every=50")

    where = [f"data.name={data}", "data.partition=natural"] if data else []
    section_of = f"algorithm={section}"
    changes = (f"rounds={rounds}", f"seed={seed}", *workload.overrides, *where, *extra, section_of)
    return measured(changes)


def measured(changes: Sequence[str]) -> dict[str, Any]:
    """Return what quickstart with ``changes`` gave, or its error."""
    with tempfile.TemporaryDirectory(prefix="mpifl-algorithms-") as folder:
        out = Path(folder) / "run"
        line = [sys.executable, "-m", "mpifl.run", "quickstart", *changes, "--out", str(out)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1] if done.stderr else "failed"}
        return _read(out)


def _read(out: Path) -> dict[str, Any]:
    run = mpifl.load_run(out)
    rounds = run.rounds
    tested = rounds[np.isfinite(rounds["loss"])]
    summary = run.summary
    return {
        "round": tested["round"].tolist(),
        "virtual_seconds": tested["end_seconds"].tolist(),
        **{name: [round(float(value), 5) for value in tested[name]] for name in SCORES},
        "bytes": int(summary["bytes_down"] + summary["bytes_up"]),
        "joules": float(summary["joules"]),
        "participants": int(summary["participants"]),
        "completed": int(summary["completed"]),
        "wall_seconds": float(summary["wall_seconds"]),
        "model_sha256": summary["model_sha256"],
    }
