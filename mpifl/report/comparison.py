"""The comparison of groups of runs: what each came to, as mean and deviation over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpifl.job.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER
from mpifl.record.load import Run
from mpifl.report.checked import check_compared
from mpifl.report.compared import groups
from mpifl.report.target import (
    Target,
    best,
    check_measured,
    check_metric,
    column,
    first_main_metric,
    lower_in,
    reached,
)

RESULTS = (
    "final",
    "best",
    "attack_success",
    "epsilon",
    "rounds",
    "virtual_seconds",
    "bytes",
    "joules",
    "wall_seconds",
)
"""What is compared: the last and best of the metric, of attackers and privacy, what a run took."""

TO_TARGET = ("rounds", "virtual_seconds", "bytes", "joules")
"""What it took to reach a target."""


@dataclass(frozen=True)
class Spread:
    """Numbers of several runs.

    Attributes:
        mean: Their mean.
        deviation: Their standard deviation (of a sample, n - 1); None of a single one.
        count: How many there are.
    """

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """A group of runs that differ only in the seed.

    Attributes:
        label: What tells it from the other groups, as one text.
        keys: The same as keys of the job and their values.
        runs: The number of its runs.
        complete: How many of them are complete; the numbers are of these.
        results: By RESULTS; None where no run has the number.
        to_target: By TO_TARGET, of the runs that reached it; None without one.
    """

    label: str
    keys: Mapping[str, Any]
    runs: int
    complete: int
    results: Mapping[str, Spread | None]
    to_target: Mapping[str, Spread | None]

    @property
    def reached(self) -> int:
        """How many of the complete runs reached the target."""
        spread = self.to_target["rounds"]
        return 0 if spread is None else spread.count


@dataclass(frozen=True)
class Comparison:
    """Groups of runs, side by side.

    Attributes:
        metric: The metric that is compared; None where no run was ever tested.
        target: What the runs were to reach; None where nothing was asked.
        rows: A row for each group.
        lower: Those of both metrics that are an objective's own and of which the lower value is the
            better one: its author may not have thought of it.
    """

    metric: str | None
    target: Target | None
    rows: tuple[Row, ...]
    lower: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """The keys of the job in which groups differ."""
        return list(dict.fromkeys(key for row in self.rows for key in row.keys))

    @property
    def attacked(self) -> bool:
        """Whether a run has attackers that want certain classes."""
        return any(row.results["attack_success"] for row in self.rows)

    @property
    def private(self) -> bool:
        """Whether a run says what privacy it has spent."""
        return any(row.results["epsilon"] for row in self.rows)


def compare(runs: Sequence[Run], metric: str | None, target: Target | None) -> Comparison:
    """Return the comparison of runs, of which only complete ones count.

    ``metric`` is a metric of /rounds; None for the target's, or the main one of the runs. Raises
    InputError.
    """
    for run in runs:
        check_compared(run)
    ended = [run for run in runs if run.complete]
    if target is not None:
        check_measured("--target", target.metric, ended)
    if metric is not None:
        check_metric("--metric", metric, ended)
    elif target is not None:
        metric = target.metric
    else:
        metric = first_main_metric(run.rounds for run in ended)

    asked = [metric, None if target is None else target.metric]
    lower = {name: lower_in(name, ended) for name in asked if name is not None}
    rows = []
    for group in groups(runs):
        complete = [run for run in group.runs if run.complete]
        results = [_results(run, metric, lower) for run in complete]
        hits = []
        if target is not None:
            hits = [reached(run.rounds, target, lower[target.metric]) for run in complete]
        row = Row(
            label=group.label,
            keys=group.keys,
            runs=len(group.runs),
            complete=len(complete),
            results={name: _spread([found[name] for found in results]) for name in RESULTS},
            to_target={
                name: _spread([_amount(hit, name) for hit in hits if hit]) for name in TO_TARGET
            },
        )
        rows.append(row)
    known = {*HIGHER_IS_BETTER, *LOWER_IS_BETTER}
    own = [name for name, is_lower in lower.items() if is_lower and name not in known]
    return Comparison(metric, target, tuple(rows), tuple(own))


def _results(run: Run, metric: str | None, lower: Mapping[str, bool]) -> dict[str, float]:
    """Return the numbers of a complete run by RESULTS; NaN where it has none.

    ``lower`` says by metric whether the lower value is the better one.
    """
    rounds = run.rounds
    final = np.nan
    if metric is not None:
        values = column(rounds, metric)
        measured = values[np.isfinite(values)]
        final = float(measured[-1]) if len(measured) else np.nan
    summary = run.summary
    spent = summary.get("epsilon")
    return {
        "final": final,
        "best": best(rounds, metric, lower[metric]) if metric is not None else np.nan,
        "attack_success": summary["final"].get("attack_success", np.nan),
        "epsilon": np.nan if spent is None else float(spent),
        "rounds": float(len(rounds)),
        "virtual_seconds": summary["virtual_seconds"],
        "bytes": float(summary["bytes_down"] + summary["bytes_up"]),
        "joules": summary["joules"],
        "wall_seconds": summary["wall_seconds"],
    }


def _amount(hit: Any, name: str) -> float:
    return float(getattr(hit, "round" if name == "rounds" else name))


def _spread(values: Sequence[float]) -> Spread | None:
    """Return mean and deviation of the numbers that are finite; None if there are none."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return None
    deviation = statistics.stdev(finite) if len(finite) > 1 else None
    return Spread(statistics.fmean(finite), deviation, len(finite))
