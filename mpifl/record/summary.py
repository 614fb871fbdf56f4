"""What a whole run comes to, added up as rounds end: the size of this does not depend on how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.filesize import decimal

from mpifl.errors import TrainingError, counted
from mpifl.record.tables import SCORES
from mpifl.stopwatch import EXECUTOR_PHASES, PHASES, Stopwatch

COUNTS = ("asked", "completed", "dropped", "cut", "stale", "failed", "bytes_down", "bytes_up")
ENERGY = ("joules", "joules_wasted")
FINAL = (*SCORES, "client_accuracy", "client_loss", "worst_decile_accuracy", "worst_decile_loss")


@dataclass
class Totals:
    """Sums over the rounds so far, and the last round's values."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    energy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ENERGY, 0.0))
    virtual_seconds: float = 0.0
    final: dict[str, float] = field(default_factory=dict)

    def add(self, row: np.ndarray) -> None:
        """Add a /rounds row (an array of one)."""
        for name in COUNTS:
            self.counts[name] += int(row[name][0])
        for name in ENERGY:
            self.energy[name] += float(row[name][0])
        self.virtual_seconds = float(row["end_seconds"][0])
        if np.isfinite(row["loss"][0]):
            self.final = {name: float(row[name][0]) for name in FINAL if not np.isnan(row[name][0])}

    def check_trained(self) -> None:
        """Raise TrainingError when every participant that was to be trained failed: what is left is the model as it began."""
        failed = self.counts["failed"]
        if failed and not self.counts["completed"]:
            raise TrainingError(
                f"runtime.on_client_error: 'drop': of {counted(failed, 'participant')} to be trained none was, so"
                " the model is as it began; each that failed has its line above"
            )

    def summary(self) -> dict[str, Any]:
        """Their part of summary.json."""
        counts = dict(self.counts)
        sums = {"participants": counts.pop("asked"), **counts, **self.energy}
        return {"virtual_seconds": self.virtual_seconds, "final": self.final, **sums}


def where_time_went(wall_seconds: float, watch: Stopwatch, spent: np.ndarray) -> dict[str, Any]:
    """Their part of summary.json: rank 0's wall time by phase, the executors' phases, and every rank's memory.

    ``spent`` (structured SPENT) is a row a rank. While rank 0 waits for executors its time counts as they spent theirs, in the
    mean: training, evaluation, or idle. ``hidden_seconds`` are phases of rank 0 that took place in that time.
    """
    executors = spent[1:] if len(spent) > 1 else spent
    training, evaluation = (float(executors[phase].mean()) for phase in ("training", "evaluation"))
    idle = max(0.0, watch.seconds["wait"] - training - evaluation) if len(spent) > 1 else 0.0
    own = {phase: watch.seconds[phase] for phase in PHASES if phase != "wait"}
    seconds = {**own, "training": training, "evaluation": evaluation, "idle": idle}
    seconds["other"] = max(0.0, wall_seconds - sum(seconds.values()))
    return {
        "seconds": _rounded(seconds),
        "hidden_seconds": _rounded(watch.hidden),
        "executor_seconds": {
            phase: _rounded({"mean": executors[phase].mean(), "most": executors[phase].max()}) for phase in EXECUTOR_PHASES
        },
        "peak_bytes": spent["peak_bytes"].tolist(),
    }


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {phase: round(float(value), 4) for phase, value in seconds.items()}


def time_text(seconds: Mapping[str, float]) -> str:
    """Where the time went, most first; what is less than a hundredth of it is left out."""
    whole = sum(seconds.values())
    parts = sorted(((value, phase) for phase, value in seconds.items() if value >= whole / 100), reverse=True)
    return ", ".join(f"{phase} {value / whole:.0%}" for value, phase in parts)


def closing_lines(summary: dict[str, Any], folder: str) -> list[str]:
    """The lines that end a run: result, time and where it went, traffic, and where everything lies."""
    virtual, wall = summary["virtual_seconds"], summary["wall_seconds"]
    final, results = summary["final"], f"results in {folder}"
    scores = score_text(final) if final else "nothing was trained (timing only)"
    ends = (("completed", "completed"), ("dropped", "dropped out"), ("cut", "cut"), ("stale", "too late"), ("failed", "failed"))
    always = ("completed", "dropped", "cut")
    ended = ", ".join(f"{summary[name]:,} {text}" for name, text in ends if summary[name] or name in always)
    return [
        f"{scores} after {counted(summary['rounds'], 'round')}",
        f"virtual time {clock_text(virtual)}, wall time {clock_text(wall)} ({virtual / wall:.1f} times as fast as the phones)",
        f"wall time by phase: {time_text(summary['seconds'])}; at most {decimal(max(summary['peak_bytes']))} of memory a rank",
        f"{decimal(summary['bytes_down'])} down and {decimal(summary['bytes_up'])} up;"
        f" {counted(summary['participants'], 'participant')}: {ended};"
        f" {energy_text(summary['joules'])}, of which wasted {energy_text(summary['joules_wasted'])}",
        results + (f" (model_sha256 {summary['model_sha256'][:16]})" if summary["model_sha256"] else ""),
    ]


def score_text(scores: Mapping[str, float]) -> str:
    """The score that a task is known by, and the loss."""
    first = next(name for name in ("accuracy", "rmse", "loss") if not np.isnan(scores.get(name, np.nan)))
    both = (first, "loss") if first != "loss" else (first,)
    return ", ".join(f"{name} {scores[name]:.4f}" for name in both)


def energy_text(joules: float) -> str:
    """Joules as a person reads them: 74.8 J, 11.9 kJ, 3.30 GJ."""
    for unit in ("J", "kJ", "MJ"):
        if joules < 999.5:
            return f"{joules:.3g} {unit}"
        joules /= 1000
    return f"{joules:,.3g} GJ"


def clock_text(seconds: float) -> str:
    """Seconds as a person reads them: 8.3 s, 12:05 min, 3:07:20 h."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
