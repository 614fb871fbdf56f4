"""When each experiment first reached a score: rounds, virtual time, bytes and energy."""

from __future__ import annotations

import math

import numpy as np

from mpifl.report.chart import NoData, Table
from mpifl.report.curves import AXES
from mpifl.report.material import Material
from mpifl.report.target import Reached, Target, column, lower_in, reached
from mpifl.report.units import Unit, fitting

WAYS = (0.5, 0.75, 0.9, 0.95, 0.99)
"""Targets: so far on the way from the first score to the best."""

HUNDREDTHS = 100
ABSENT = "-"


def chart(material: Material) -> Table:
    """Return the table: a row for each experiment and target that one of its runs reached."""
    metric = material.metric if material.target is None else material.target.metric
    lower = lower_in(metric, [source.run for source in material.all])
    if material.target is not None:
        ats = [material.target.at]
    else:
        ats = targets([source.rounds for source in material.all], metric, lower)
    sign = "at most" if lower else "at least"
    found = {
        (label, at): [
            one
            for one in (reached(source.rounds, Target(metric, at), lower) for source in sources)
            if one is not None
        ]
        for at in ats
        for label, _, sources in material.looks()
    }
    everything = [one for reaches in found.values() for one in reaches]
    units = {axis: _unit(axis, everything) for axis in AXES}
    counts = {label: len(sources) for label, _, sources in material.looks()}

    rows = tuple(
        (
            f"{metric} {sign} {at:g}",
            label,
            f"{len(reaches)} of {counts[label]}",
            *(_mean(reaches, axis, unit) for axis, unit in units.items()),
        )
        for (label, at), reaches in found.items()
    )
    return Table(
        name="time_to_target",
        title="Time to a target",
        text="Until the first test that met it; means over the runs that reached it, and the"
        " standard deviation where there are several.",
        header=(
            "target",
            "experiment",
            "runs that reached it",
            *(_heading(*one) for one in units.items()),
        ),
        rows=rows,
    )


def targets(tables: list[np.ndarray], metric: str, lower: bool) -> list[float]:
    """Return targets between the first scores of runs (/rounds tables) and the best of all.

    They are rounded to hundredths away from the best, so that one run at least reached each.
    ``lower`` says that the lower value is the better one.
    """
    columns = [column(rounds, metric) for rounds in tables]
    measured = [values[np.isfinite(values)] for values in columns]
    measured = [values for values in measured if len(values)]
    if not measured:
        raise NoData("no model was tested")
    pick = min if lower else max
    first = float(np.median([values[0] for values in measured]))
    top = pick(float(pick(values)) for values in measured)

    down = math.ceil if lower else math.floor
    rounded = (down((first + way * (top - first)) * HUNDREDTHS) / HUNDREDTHS for way in WAYS)
    return list(dict.fromkeys(rounded))


def _value(one: Reached, axis: str) -> float:
    return float(getattr(one, axis))


def _unit(axis: str, everything: list[Reached]) -> Unit:
    return fitting(AXES[axis].units, max((_value(one, axis) for one in everything), default=0.0))


def _heading(axis: str, unit: Unit) -> str:
    name = AXES[axis].name
    return f"{name}, {unit.name}" if unit.name else name


def _mean(reaches: list[Reached], axis: str, unit: Unit) -> str:
    if not reaches:
        return ABSENT
    values = np.array([_value(one, axis) for one in reaches]) / unit.size
    mean = values.mean()
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    if not deviation:
        return f"{mean:,.4g}"
    places = max(0, 1 - math.floor(math.log10(deviation)))  # two digits of the deviation
    return f"{mean:,.{places}f} ± {deviation:,.{places}f}"
