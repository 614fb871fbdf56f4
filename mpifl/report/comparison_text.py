"""A comparison as the cells of a table, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable
from typing import Any

from rich.filesize import decimal

from mpifl.job.flat import short_keys
from mpifl.record.wording import clock_text, energy_text
from mpifl.report.compared import value_text
from mpifl.report.comparison import RESULTS, TO_TARGET, Comparison, Row, Spread
from mpifl.report.numbers import plain_cell

Cells = tuple[list[str], list[list[str]]]
"""The headings of a table, and its rows."""

NONE = "-"
PLACES = 4
LARGE = 100
"""Scores from here on are written with two decimals instead of four."""

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # at the beginning of a row it would be an option of the line's end before it
    "*": "{*}",
    "±": r"$\pm$",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


def cells(comparison: Comparison) -> Cells:
    """Return headings and rows of the table that people read."""
    metric = comparison.metric
    headings = [*(short_keys(comparison.keys) or ["job"]), "runs"]
    if metric is not None:
        headings += [f"final {metric}".replace("_", " "), "best"]
    if comparison.attacked:
        headings.append("attack success")
    if comparison.private:
        headings.append("epsilon")
    headings += ["rounds done", "virtual time", "traffic", "energy", "wall time"]
    if comparison.target is not None:
        at = f"{comparison.target.at:g}"
        headings += [f"reached {at}", f"rounds to {at}", f"virtual time to {at}"]
    return headings, [_cells(comparison, row) for row in comparison.rows]


def leading(comparison: Comparison) -> int:
    """Return how many of the first columns say what a row is; the others are numbers."""
    return max(1, len(comparison.keys))


def _cells(comparison: Comparison, row: Row) -> list[str]:
    own = [value_text(row.keys[key]) if key in row.keys else NONE for key in comparison.keys]
    own = own or [row.label]
    runs = f"{row.runs}" if row.complete == row.runs else f"{row.complete} of {row.runs}"
    found = row.results
    cells = [*own, runs]
    if comparison.metric is not None:
        cells += [_score(found["final"]), _score(found["best"])]
    if comparison.attacked:
        cells.append(_score(found["attack_success"]))
    if comparison.private:
        cells.append(_score(found["epsilon"]))
    cells += [
        _text(found["rounds"], _count),
        _text(found["virtual_seconds"], clock_text),
        _text(found["bytes"], lambda value: decimal(round(value))),
        _text(found["joules"], energy_text),
        _text(found["wall_seconds"], clock_text),
    ]
    if comparison.target is not None:
        cells += [
            f"{row.reached} of {row.complete}",
            _text(row.to_target["rounds"], _count),
            _text(row.to_target["virtual_seconds"], clock_text),
        ]
    return cells


def _text(spread: Spread | None, text: Callable[[float], str]) -> str:
    return NONE if spread is None else text(spread.mean)


def _score(spread: Spread | None) -> str:
    """Return mean and deviation of a score, such as ``0.9526 ± 0.0031``."""
    if spread is None:
        return NONE
    places = PLACES if abs(spread.mean) < LARGE else PLACES // 2
    mean = f"{spread.mean:.{places}f}"
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation:.{places}f}"


def _count(mean: float) -> str:
    return f"{mean:,.0f}" if math.isclose(mean, round(mean)) else f"{mean:,.1f}"


def csv_text(comparison: Comparison) -> str:
    """Return a comparison as CSV: numbers in full, mean and sd of each, empty where there is none.

    Times are in seconds, traffic in bytes, energy in joules.
    """
    target = comparison.target
    columns = [*comparison.keys, "runs", "complete", "metric", *_pairs(RESULTS)]
    if target is not None:
        columns += ["target_metric", "target", "reached", *_pairs(f"to_{n}" for n in TO_TARGET)]

    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(columns)
    for row in comparison.rows:
        own = [_csv_value(row.keys[key]) if key in row.keys else "" for key in comparison.keys]
        line = [*own, row.runs, row.complete, comparison.metric or ""]
        line += [number for name in RESULTS for number in _numbers(row.results[name])]
        if target is not None:
            line += [target.metric, target.at, row.reached]
            line += [number for name in TO_TARGET for number in _numbers(row.to_target[name])]
        writer.writerow(line)
    return output.getvalue()


def _csv_value(value: Any) -> str:
    """Return a value of a job; only texts can look like a formula and be none."""
    return plain_cell(value_text(value)) if isinstance(value, str) else value_text(value)


def _pairs(names: Iterable[str]) -> list[str]:
    return [f"{name}_{what}" for name in names for what in ("mean", "sd")]


def _numbers(spread: Spread | None) -> tuple[float | str, float | str]:
    """Return mean and deviation; empty texts for what there is not."""
    if spread is None:
        return "", ""
    return spread.mean, "" if spread.deviation is None else spread.deviation


def latex_text(comparison: Comparison) -> str:
    """Return a comparison as a LaTeX table; it needs the package booktabs."""
    headings, rows = cells(comparison)
    words = leading(comparison)
    body = [" & ".join(map(latex_escaped, row)) + r" \\" for row in [headings, *rows]]
    return "\n".join(
        [
            r"\begin{tabular}{" + "l" * words + "r" * (len(headings) - words) + "}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def latex_escaped(text: str) -> str:
    """Return a text in which no character is a command of LaTeX."""
    return "".join(LATEX.get(char, char) for char in text)
