"""When a run first reached a target, such as an accuracy of 0.9."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mpifl.errors import InputError, nearest
from mpifl.job.metrics import HIGHER_IS_BETTER, MAIN, lower_is_better, out_of_reach
from mpifl.record.load import Run
from mpifl.record.scores import own_scores
from mpifl.record.tables import CLIENT_SCORES, SCORES


@dataclass(frozen=True)
class Target:
    """A value of a metric that runs are to reach: at least it, or at most where lower is better."""

    metric: str
    at: float


@dataclass(frozen=True)
class Reached:
    """What a run had taken when it first reached a target.

    Attributes:
        round: The round after which the test met it.
        virtual_seconds: The virtual time at the end of that round, s.
        bytes: Down and up until then.
        joules: Of all participants until then, J.
    """

    round: int
    virtual_seconds: float
    bytes: int
    joules: float


def parse_target(text: str) -> Target:
    """Return the target of a text such as ``accuracy=0.9``. Raises InputError."""
    metric, _, value = text.partition("=")
    try:
        at = float(value)
    except ValueError:
        at = np.nan
    if not np.isfinite(at):
        raise InputError(f"--target: {text!r}: give METRIC=NUMBER, such as accuracy=0.9")
    problem = out_of_reach(metric, at)
    if problem is not None:
        raise InputError(f"--target: {text!r} cannot be reached: {problem}")
    return Target(metric, at)


def check_measured(option: str, metric: str, runs: Sequence[Run]) -> None:
    """Raise InputError for a metric that none of the runs was tested for.

    ``option`` names who asks for it.
    """
    check_metric(option, metric, runs)
    if not runs or any(np.isfinite(column(run.rounds, metric)).any() for run in runs):
        return
    main = main_metric(runs[0].rounds)
    hint = f"; {runs[0].folder} has {main}" if main else ""
    raise InputError(f"{option}: {metric}: no run was tested for it{hint}")


def check_metric(option: str, metric: str, runs: Sequence[Run]) -> None:
    """Raise InputError for a metric that no objective has, nor the /rounds of one of the runs."""
    own = (name for run in runs for name in own_scores(run.rounds.dtype))
    allowed = dict.fromkeys((*SCORES, *CLIENT_SCORES, *HIGHER_IS_BETTER, *own))
    if metric not in allowed:
        hint = nearest(metric, allowed)
        raise InputError(f"{option}: {metric!r} is no metric; {hint}allowed: {', '.join(allowed)}")


def lower_in(metric: str, runs: Iterable[Run]) -> bool:
    """Return whether the lower value of a metric of runs is the better one.

    A run that does not say it is read as those that do. Raises InputError where two disagree.
    """
    saying = [run for run in runs if metric in run.higher_is_better]
    if not saying:
        return lower_is_better(metric, ())
    higher = saying[0].higher_is_better[metric]
    for run in saying:
        if run.higher_is_better[metric] != higher:
            ways = ("higher", "lower") if higher else ("lower", "higher")
            raise InputError(
                f"{metric}: the {ways[0]} value is the better one in {saying[0].folder}, and the"
                f" {ways[1]} one in {run.folder}; name another metric, or runs that agree"
            )
    return not higher


def main_metric(rounds: np.ndarray) -> str | None:
    """Return the main metric of a run's /rounds: of MAIN the first that was ever measured."""
    return next((name for name in MAIN if np.isfinite(column(rounds, name)).any()), None)


def column(rounds: np.ndarray, metric: str) -> np.ndarray:
    """Return a metric of /rounds; NaN in all rounds of a run whose objective does not have it."""
    names = rounds.dtype.names or ()
    return rounds[metric] if metric in names else np.full(len(rounds), np.nan)


def first_main_metric(tables: Iterable[np.ndarray]) -> str | None:
    """Return the main metric of the first of several runs (/rounds tables) that has one."""
    return next((name for name in map(main_metric, tables) if name), None)


def best(rounds: np.ndarray, metric: str, lower: bool) -> float:
    """Return the best value of a metric in /rounds; NaN where it was never measured.

    ``lower`` says that the lower value is the better one.
    """
    values = column(rounds, metric)
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan
    return float(values.min() if lower else values.max())


def reached(rounds: np.ndarray, target: Target, lower: bool) -> Reached | None:
    """Return what it took until a test first met the target; None if none did.

    ``rounds`` is the /rounds table from the first round on; ``lower`` says that the lower value is
    the better one.
    """
    values = column(rounds, target.metric)
    met = values <= target.at if lower else values >= target.at
    if not met.any():
        return None
    first = int(np.argmax(met))
    until = rounds[: first + 1]
    return Reached(
        round=int(rounds["round"][first]),
        virtual_seconds=float(rounds["end_seconds"][first]),
        bytes=int(until["bytes_down"].sum() + until["bytes_up"].sum()),
        joules=float(until["joules"].sum()),
    )
