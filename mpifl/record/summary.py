"""The totals of a run, added up as rounds end, in memory that does not grow with the rounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rich.filesize import decimal

from mpifl.errors import TrainingError, counted
from mpifl.job.metrics import MAIN, lower_is_better
from mpifl.record.analytics_text import analytics_text
from mpifl.record.scores import scores_of
from mpifl.record.tables import CLIENT_SCORES
from mpifl.record.wording import ENDS, clock_text, energy_text
from mpifl.stopwatch import EXECUTOR_PHASES, PHASES, Stopwatch

COUNTS = ("asked", *ENDS, "bytes_down", "bytes_up", "plain_bytes_down", "plain_bytes_up")
ENERGY = ("joules", "joules_wasted")
SECURED = {
    "void": "void_rounds",
    "secure_bytes_down": "secure_bytes_down",
    "secure_bytes_up": "secure_bytes_up",
    "secure_seconds": "secure_seconds",
}
"""Columns of /rounds about secure aggregation, and the entries of summary.json that they sum to."""

MOST_OWN = 3
"""How many of an objective's own measures a line has room for."""


@dataclass
class Totals:
    """Sums over the rounds so far, and the last round's values."""

    rounds: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    energy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ENERGY, 0.0))
    virtual_seconds: float = 0.0
    final: dict[str, float] = field(default_factory=dict)
    secured: dict[str, float] = field(default_factory=dict)
    """Sums of the columns about secure aggregation; empty without."""
    spent: dict[str, float | None] = field(default_factory=dict)
    """What a run with privacy has spent, None without noise; empty without privacy."""
    best: dict[str, tuple[float, int]] = field(default_factory=dict)
    """The best value of each main score so far, and the first round that had it.

    There are two where the task's own, such as the perplexity, was infinite for a time.
    """

    def add(self, row: np.ndarray) -> None:
        """Add a /rounds row (an array of one)."""
        self.rounds = int(row["round"][0])
        for name in COUNTS:
            self.counts[name] += int(row[name][0])
        for name in ENERGY:
            self.energy[name] += float(row[name][0])
        for name, entry in SECURED.items():
            if name in (row.dtype.names or ()):
                self.secured[entry] = self.secured.get(entry, 0) + row[name][0].item()
        self.virtual_seconds = float(row["end_seconds"][0])
        if "epsilon" in (row.dtype.names or ()):
            epsilon = float(row["epsilon"][0])
            self.spent = {"epsilon": epsilon if np.isfinite(epsilon) else None}
        if np.isfinite(row["loss"][0]):
            scores = scores_of(row) | {name: float(row[name][0]) for name in CLIENT_SCORES}
            # JSON has no infinity, such as the perplexity of a loss that diverges.
            self.final = {name: score for name, score in scores.items() if np.isfinite(score)}
            self._compare(int(row["round"][0]))

    def _compare(self, round_number: int) -> None:
        """Note the main score of a tested round if it is better than all before."""
        name = main_score(self.final)
        score = self.final[name]
        sign = -1 if lower_is_better(name, ()) else 1  # mpifl knows all of MAIN
        if name not in self.best or sign * score > sign * self.best[name][0]:
            self.best[name] = (score, round_number)

    def copy(self) -> Totals:
        """Return the totals as they are now."""
        return replace(
            self,
            counts=dict(self.counts),
            energy=dict(self.energy),
            secured=dict(self.secured),
            best=dict(self.best),
        )

    def check_trained(self) -> None:
        """Raise TrainingError when training failed for every participant of the run.

        Then the model is the initial one.
        """
        failed = self.counts["failed"]
        if failed and not self.counts["completed"]:
            raise TrainingError(
                f"training failed for all of {counted(failed, 'participant')}, so the model is the"
                " initial one; the lines above name each failure"
            )

    def summary(self) -> dict[str, Any]:
        """Return the entries of summary.json that are totals."""
        counts = dict(self.counts)
        sums = {"participants": counts.pop("asked"), **counts, **self.energy, **self.secured}
        return {
            "virtual_seconds": self.virtual_seconds,
            "final": self.final,
            **self.spent,
            **sums,
        }


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


def closing_lines(summary: dict[str, Any], folder: str, measures: Sequence[str] = ()) -> list[str]:
    """Return the last lines of a run: scores, time by phase, traffic and energy, and the folder.

    ``measures`` are those of the objective's own.
    """
    virtual = summary["virtual_seconds"]
    wall = summary["wall_seconds"]
    final = summary["final"]
    scores = score_text(final, measures) if final else "nothing was trained (timing only)"
    if "analytics" in summary:
        scores = analytics_text(summary["analytics"])
    always = ("completed", "dropped", "cut")
    ended = ", ".join(
        f"{summary[name]:,} {text}"
        for name, text in ENDS.items()
        if summary[name] or name in always
    )
    digest = summary["model_sha256"]
    # A resumed run has the wall time of its last part, and the virtual time of all of them.
    resumed = summary["resumed_from"]
    pace = f"({virtual / wall:.1f} times as fast as the phones)"
    if resumed:
        pace = f"since it was resumed after round {resumed:,}"
    ended_by = f", ended by {summary['stopped_by']}" if summary["stopped_by"] else ""

    return [
        f"{scores} after {counted(summary['rounds'], 'round')}{ended_by}",
        *_client_lines(final),
        *_attack_lines(final),
        *_found_lines(summary),
        *_privacy_lines(summary),
        f"virtual time {clock_text(virtual)}, wall time {clock_text(wall)} {pace}",
        f"wall time by phase: {time_text(summary['seconds'])};"
        f" at most {decimal(max(summary['peak_bytes']))} of memory a rank",
        f"{_traffic(summary, 'down')} and {_traffic(summary, 'up')};"
        f" {counted(summary['participants'], 'participant')}: {ended};"
        f" {energy_text(summary['joules'])},"
        f" of which wasted {energy_text(summary['joules_wasted'])}",
        *_secure_lines(summary),
        f"results in {folder}" + (f" (model_sha256 {digest[:16]})" if digest else ""),
    ]


def _traffic(summary: Mapping[str, Any], way: str) -> str:
    """Return what went down or up, and what it would have been where ``exchange`` changed it."""
    sent = summary[f"bytes_{way}"]
    plain = summary[f"plain_bytes_{way}"]
    instead = f" ({decimal(plain)} without exchange.{way})" if plain != sent else ""
    return f"{decimal(sent)} {way}{instead}"


def _found_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the architecture that was found, in a search for one."""
    genotype = summary.get("genotype")
    return [f"genotype: {json.dumps(genotype)}"] if genotype else []


def _secure_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return what secure aggregation took, in a run with it."""
    if "void_rounds" not in summary:
        return []
    down = decimal(summary["secure_bytes_down"])
    up = decimal(summary["secure_bytes_up"])
    return [
        f"secure aggregation: {clock_text(summary['secure_seconds'])} of virtual time before"
        f" training and after uploads, {down} down and {up} up;"
        f" {counted(summary['void_rounds'], 'void round')} of {summary['rounds']:,}"
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


def _attack_lines(final: Mapping[str, float]) -> list[str]:
    """Return what attackers got of what they want, where they want certain classes."""
    if "attack_success" not in final:
        return []
    success = final["attack_success"]
    return [f"attack success {success:.4f}: the share of its test samples that got its class"]


def _privacy_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return what a run with privacy has spent."""
    if summary.get("epsilon") is None:
        return []
    return [
        f"epsilon {summary['epsilon']:.4g} at delta {summary['delta']:.3g} was spent: no client has"
        " lost more (what is protected from whom: docs/privacy.md)"
    ]


def main_score(scores: Mapping[str, float]) -> str:
    """Return the name of the task's main score: the first of MAIN that is not NaN or missing."""
    return next(name for name in MAIN if not np.isnan(scores.get(name, np.nan)))


def score_text(scores: Mapping[str, float], measures: Sequence[str] = ()) -> str:
    """Return the main score of the task and the loss, such as "accuracy 0.9310, loss 0.2412".

    Behind them the first of the objective's own ``measures``; summary.json has all.
    """
    usual = dict.fromkeys((main_score(scores), "loss"))
    own = [name for name in measures if np.isfinite(scores.get(name, np.nan))]
    names = (*usual, *[name for name in own if name not in usual][:MOST_OWN])
    return ", ".join(f"{name} {scores[name]:.4f}" for name in names)
