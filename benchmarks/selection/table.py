"""The table of a comparison: one row a rule, means over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.selection.measure import BASE, good, reached, targets
from benchmarks.selection.workloads import PUBLISHED

TARGET = " {name}: hours | faster | rounds | fewer |"


def table(result: dict[str, Any]) -> str:
    """Return the table as Markdown.

    Hours are virtual, with standard deviations over the seeds. ``faster`` and ``fewer`` are the
    time and the rounds of uniform selection, divided by the rule's.
    """
    runs = good(result)
    wanted = targets(result)
    head = "".join(TARGET.format(name=f"{100 * target:.1f} %") for target in wanted)
    lines = [
        f"| rule |{head} best accuracy | s a round | published: faster |",
        "|" + "---|" * (4 * len(wanted) + 4),
    ]
    for name in result["runs"]:
        if name not in runs:
            lines.append(f"| {name} | {result['runs'][name][0]['error']} |")
            continue
        cells = [cell for target in wanted for cell in _cells(runs, name, target)]
        best = [100 * max(run["accuracy"]) for run in runs[name]]
        seconds = [run["virtual_seconds"][-1] / run["round"][-1] for run in runs[name]]
        cells += [f"{np.mean(best):.1f} ± {np.std(best):.1f}", f"{np.mean(seconds):.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {PUBLISHED.get(name, '')} |")
    return "\n".join(lines)


def _cells(runs: dict[str, list[dict[str, Any]]], name: str, target: float) -> list[str]:
    """Return hours, rounds, and both of uniform relative to them, in words."""
    found = np.array([reached(run, target) for run in runs[name]])
    missed = int(np.isinf(found[:, 0]).sum())
    if missed:
        hours = np.mean([run["virtual_seconds"][-1] for run in runs[name]]) / 3600
        return [f"{missed} of {len(found)} runs not in {hours:.1f} h", "", "", ""]
    base = np.mean([reached(run, target) for run in runs[BASE]], axis=0)
    seconds, rounds = found.mean(axis=0)
    hours = found[:, 0] / 3600
    return [
        f"{hours.mean():.2f} ± {hours.std():.2f}",
        f"**{base[0] / seconds:.2f}**",
        f"{rounds:.0f}",
        f"{base[1] / rounds:.2f}",
    ]
