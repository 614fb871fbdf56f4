"""The picture of a comparison: accuracy by virtual time, a small panel a rule, uniform behind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures.picture import BLUE, GREY, page
from benchmarks.selection.measure import BASE, good, targets

COLUMNS = 4


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw accuracy by virtual hours, one line a seed, and the targets dotted."""
    runs = good(result)
    columns = min(COLUMNS, len(runs))
    rows = math.ceil(len(runs) / columns)
    hours = max(run["virtual_seconds"][-1] for run in runs.get(BASE, next(iter(runs.values()))))
    with page(path, 1.1 + 1.6 * rows) as figure:
        panels = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
        for panel, name in zip(panels, runs, strict=False):
            for run in runs.get(BASE, []):
                _curve(panel, run, GREY)
            for run in runs[name]:
                _curve(panel, run, BLUE)
            for target in targets(result):
                panel.axhline(target, color=GREY, linewidth=0.6, linestyle=":")
            panel.set_title(name, fontsize=8, loc="left")
        panels[0].set_xlim(0, hours / 3600)
        for panel in panels[len(runs) :]:
            panel.set_visible(False)
        figure.suptitle(f"{result['title']}: accuracy by virtual hours", x=0.01, ha="left")


def _curve(panel: Any, run: dict[str, Any], colour: str) -> None:
    hours = np.array(run["virtual_seconds"]) / 3600
    panel.plot(hours, run["accuracy"], color=colour, linewidth=0.8)
