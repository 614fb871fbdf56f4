"""The totals of a run, added up as rounds end, in memory that does not grow with the rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.filesize import decimal

from mpifl.errors import TrainingError, counted
from mpifl.record.tables import CLIENT_SCORES, ENDS, SCORES
from mpifl.stopwatch import EXECUTOR_PHASES, PHASES, Stopwatch

COUNTS = ("asked", *ENDS, "bytes_down", "bytes_up")
ENERGY = ("joules", "joules_wasted")
FINAL = (*SCORES, *CLIENT_SCORES)


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
        """Raise TrainingError when training failed for every participant of the run.

        Then the model is the initial one.
        """
        failed = self.counts["failed"]
        if failed and not self.counts["completed"]:
            raise TrainingError(
                "runtime.on_client_error: 'drop': training failed for all of"
                f" {counted(failed, 'participant')}, so the model is the initial one; the lines"
                " above name each failure"
            )

    def summary(self) -> dict[str, Any]:
        """Return the entries of summary.json that are totals."""
        counts = dict(self.counts)
        sums = {"participants": counts.pop("asked"), **counts, **self.energy}
        return {"virtual_seconds": self.virtual_seconds, "final": self.final, **sums}


def where_time_went(wall_seconds: float, watch: Stopwatch, spent: np.ndarray) -> dict[str, Any]:
    """Return the entries of summary.json about wall time by phase and memory of each rank.

    ``spent`` (structured SPENT) has a row for each rank. While rank 0 waits for the executors, its
    time is divided as theirs is in the mean: into training, evaluation and idle.
    ``hidden_seconds`` are phases of rank 0 that overlap with that wait.
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
            phase: _rounded({"mean": executors[phase].mean(), "most": executors[phase].max()})
            for phase in EXECUTOR_PHASES
        },
        "peak_bytes": spent["peak_bytes"].tolist(),
    }


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {phase: round(float(value), 4) for phase, value in seconds.items()}


def time_text(seconds: Mapping[str, float]) -> str:
    """Return the share of each phase, largest first; phases below 1 % are left out."""
    total = sum(seconds.values())
    largest = sorted(
        ((value, phase) for phase, value in seconds.items() if value >= total / 100), reverse=True
    )
    return ", ".join(f"{phase} {value / total:.0%}" for value, phase in largest)


def closing_lines(summary: dict[str, Any], folder: str) -> list[str]:
    """Return the last lines of a run: scores, time by phase, traffic and energy, and the folder."""
    virtual = summary["virtual_seconds"]
    wall = summary["wall_seconds"]
    final = summary["final"]
    scores = score_text(final) if final else "nothing was trained (timing only)"
    always = ("completed", "dropped", "cut")
    ended = ", ".join(
        f"{summary[name]:,} {text}"
        for name, text in ENDS.items()
        if summary[name] or name in always
    )
    digest = summary["model_sha256"]

    return [
        f"{scores} after {counted(summary['rounds'], 'round')}",
        *_client_lines(final),
        f"virtual time {clock_text(virtual)}, wall time {clock_text(wall)}"
        f" ({virtual / wall:.1f} times as fast as the phones)",
        f"wall time by phase: {time_text(summary['seconds'])};"
        f" at most {decimal(max(summary['peak_bytes']))} of memory a rank",
        f"{decimal(summary['bytes_down'])} down and {decimal(summary['bytes_up'])} up;"
        f" {counted(summary['participants'], 'participant')}: {ended};"
        f" {energy_text(summary['joules'])},"
        f" of which wasted {energy_text(summary['joules_wasted'])}",
        f"results in {folder}" + (f" (model_sha256 {digest[:16]})" if digest else ""),
    ]


def _client_lines(final: Mapping[str, float]) -> list[str]:
    """Return the scores of single clients, where they were tested."""
    names = ("client_accuracy", "worst_decile_accuracy")
    if any(name not in final for name in names):
        names = ("client_loss", "worst_decile_loss")
    if any(name not in final for name in names):
        return []
    mean, worst = (final[name] for name in names)
    return [f"single clients: mean {mean:.4f}, worst tenth {worst:.4f} ({names[0]})"]


def score_text(scores: Mapping[str, float]) -> str:
    """Return the main score of the task and the loss, such as "accuracy 0.9310, loss 0.2412"."""
    main = next(
        name for name in ("accuracy", "rmse", "loss") if not np.isnan(scores.get(name, np.nan))
    )
    names = (main, "loss") if main != "loss" else (main,)
    return ", ".join(f"{name} {scores[name]:.4f}" for name in names)


def energy_text(joules: float) -> str:
    """Return joules with a fitting unit: 74.8 J, 11.9 kJ, 3.30 GJ."""
    for unit in ("J", "kJ", "MJ"):
        if joules < 999.5:
            return f"{joules:.3g} {unit}"
        joules /= 1000
    return f"{joules:,.3g} GJ"


def clock_text(seconds: float) -> str:
    """Return seconds with a fitting unit: 8.3 s, 12:05 min, 3:07:20 h."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
