"""Makes a report: the charts that the runs have data for, and the page."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from mpifl.record.load import Run
from mpifl.report.chart import Chart, NoData, Table
from mpifl.report.charts import REGISTRY
from mpifl.report.material import Material, material
from mpifl.report.target import Target


@dataclass(frozen=True, eq=False)
class Report:
    """A report: what it is made of, its charts by name, and why others are not there."""

    material: Material
    charts: dict[str, Chart | Table]
    left_out: dict[str, NoData]


def make_report(
    runs: Sequence[Run], target: Target | None = None, metric: str | None = None
) -> Report:
    """Return the report on ``runs``, one or more, and on what they took to reach a target.

    ``metric`` is the score that is drawn; None for the main one. Raises InputError when a run
    cannot be read, or none was tested for target or metric.
    """
    made_of = material(runs, target, metric)
    charts: dict[str, Chart | Table] = {}
    left_out: dict[str, NoData] = {}
    for name, module in REGISTRY.items():
        try:
            charts[name] = importlib.import_module(module).chart(made_of)
        except NoData as reason:
            left_out[name] = reason
    return Report(made_of, charts, left_out)
