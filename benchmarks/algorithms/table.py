"""The table of a comparison: one row an algorithm, means over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

HEADER = (
    "| algorithm | accuracy | accuracy at {minutes:.0f} virtual min | own model: mean client | own model: worst tenth |"
    " MB | kJ |\n|---|---|---|---|---|---|---|"
)


def table(result: dict[str, Any]) -> str:
    """Return the table as Markdown. Spreads are standard deviations over the seeds."""
    seconds = reference_seconds(result)
    lines = [HEADER.format(minutes=seconds / 60)]
    for name, runs in result["runs"].items():
        done = [run for run in runs if "error" not in run]
        if not done:
            lines.append(f"| {name} | {runs[0]['error']} | | | | | |")
            continue
        last = [run["accuracy"][-1] for run in done]
        timed = [at(run, "accuracy", seconds) for run in done]
        own = [run["client_accuracy"][-1] for run in done]
        worst = [run["worst_decile_accuracy"][-1] for run in done]
        size = np.mean([run["bytes"] for run in done]) / 1e6
        energy = np.mean([run["joules"] for run in done]) / 1e3
        cells = (_spread(values) for values in (last, timed, own, worst))
        lines.append(f"| {name} | {' | '.join(cells)} | {size:.1f} | {energy:.1f} |")
    return "\n".join(lines)


def reference_seconds(result: dict[str, Any]) -> float:
    """Return the virtual time that FedAvg takes for two thirds of its rounds, the mean over seeds."""
    runs = [run for run in result["runs"].get("fedavg", []) if "error" not in run]
    if not runs:
        return 0.0
    return float(np.mean([run["virtual_seconds"][len(run["round"]) * 2 // 3 - 1] for run in runs]))


def at(run: dict[str, Any], score: str, seconds: float) -> float:
    """Return the last score of a run by a moment of virtual time; 0 where there is none yet."""
    known = np.searchsorted(run["virtual_seconds"], seconds, side="right")
    return float(run[score][known - 1]) if known else 0.0


def _spread(values: list[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f}"
