"""The score of the task against rounds, virtual time, bytes and energy."""

from __future__ import annotations

from mpifl.report.chart import Axis, Band, Chart, Line, Look, Mark, NoData, Panel
from mpifl.report.curves import AXES, Curve, band, curve, thinned
from mpifl.report.material import Material, Source
from mpifl.report.units import Unit, fitting


def chart(material: Material) -> Chart:
    """Return the chart: a panel for each axis."""
    metric = material.metric
    panels = tuple(_panel(material, metric, axis) for axis in AXES)
    several = max(len(sources) for sources in material.sources)
    band = "; lines are means over seeds, bands go from the lowest to the highest seed"
    return Chart(
        name="accuracy",
        title=f"{metric.replace('_', ' ').capitalize()} of the global model",
        text=f"On the tested part, after each round with a test{band if several > 1 else ''}.",
        panels=panels,
        choice="against",
        on_paper=tuple(range(len(panels))),
    )


def _panel(material: Material, metric: str, axis: str) -> Panel:
    looks = [
        (label, style, [one for one in (_curve(run, metric, axis) for run in sources) if one])
        for label, style, sources in material.looks()
    ]
    drawn = [(label, style, curves) for label, style, curves in looks if curves]
    if not drawn:
        raise NoData("no model was tested")

    against = AXES[axis]
    unit = fitting(against.units, max(one.x[-1] for _, _, curves in drawn for one in curves))
    marks = [mark for group in drawn for mark in _marks(*group, unit)]
    name = f"{against.name}, {unit.name}" if unit.name else against.name
    return Panel(name, Axis(name, whole=axis == "round"), Axis(metric), tuple(marks))


def _curve(source: Source, metric: str, axis: str) -> Curve | None:
    found = curve(source.rounds, metric, axis)
    return found if len(found.x) else None


def _marks(label: str, style: Look, curves: list[Curve], unit: Unit) -> list[Mark]:
    """Return the line of a group and, of several runs that overlap, their band."""
    scaled = [Curve(one.x / unit.size, one.y) for one in curves]
    overlap = max(one.x[0] for one in scaled) <= min(one.x[-1] for one in scaled)
    if len(scaled) == 1 or not overlap:
        return [Line(name=label, look=style, x=one.x, y=one.y) for one in map(thinned, scaled)]

    over = band(scaled)
    return [
        Band(name=f"{label}: range", look=style, x=over.x, low=over.low, high=over.high),
        Line(name=label, look=style, x=over.x, y=over.mean),
    ]
