"""Runs one selection rule on one workload, and finds when runs reach an accuracy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.algorithms.measure import measured
from benchmarks.algorithms.workloads import Workload
from benchmarks.selection.workloads import RULES

BASE = "uniform"
OF_CLIENTS = ("client_accuracy", "worst_decile_accuracy")
SHARES = (0.95, 0.99)
"""Targets, as shares of the lowest of the best accuracies of the uniform runs."""


def run(workload: Workload, rule: str, seed: int, data: str | None, trace: str) -> dict[str, Any]:
    """Return the accuracy of a run by round and virtual time, its bytes and joules; or its error."""
    keys = [change for change in workload.overrides if change.startswith("selection.")]
    section = dict(RULES[rule])
    for change in keys:
        name, _, value = change.removeprefix("selection.").partition("=")
        section[name] = json.loads(value)
    others = [change for change in workload.overrides if change not in keys]
    found = measured(
        [
            f"rounds={workload.rounds}",
            f"seed={seed}",
            *([f"data.name={data}"] if data else []),
            *others,
            f"population.trace={trace}",
            f"selection={json.dumps(section)}",
        ]
    )
    return {name: value for name, value in found.items() if name not in OF_CLIENTS}


def good(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of each rule that came to an end, where there are any."""
    done = {
        name: [run for run in runs if "error" not in run] for name, runs in result["runs"].items()
    }
    return {name: runs for name, runs in done.items() if runs}


def targets(result: dict[str, Any]) -> list[float]:
    """Return the accuracies that runs are to reach; none without a uniform run."""
    runs = good(result).get(BASE, [])
    return [share * min(max(run["accuracy"]) for run in runs) for share in SHARES if runs]


def reached(run: dict[str, Any], target: float) -> tuple[float, float]:
    """Return virtual seconds and rounds until a run first has an accuracy; infinity: never."""
    there = np.flatnonzero(np.array(run["accuracy"]) >= target)
    if not len(there):
        return np.inf, np.inf
    return run["virtual_seconds"][there[0]], run["round"][there[0]]
