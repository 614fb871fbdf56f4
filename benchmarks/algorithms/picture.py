"""The picture of a comparison: a small panel an algorithm, with FedAvg's curve behind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures.picture import BLUE, GREY, page

COLUMNS = 5


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw accuracy by round, the mean over seeds; that of clients' own models dashed."""
    good = {
        name: [run for run in runs if "error" not in run] for name, runs in result["runs"].items()
    }
    shown = [name for name in good if good[name]]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    with page(path, 1.1 + 1.35 * rows) as figure:
        panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True, squeeze=False)).ravel()
        for panel, name in zip(panels, shown, strict=False):
            _panel(panel, good, name)
        for panel in panels[len(shown) :]:
            panel.set_visible(False)
        figure.suptitle(f"{result['title']}: accuracy by round", x=0.01, ha="left")


def _panel(panel: Any, good: dict[str, list[dict[str, Any]]], name: str) -> None:
    if good.get("fedavg"):
        _curve(panel, good["fedavg"], "accuracy", GREY, "-")
    _curve(panel, good[name], "client_accuracy", BLUE, (0, (3, 1.5)))
    _curve(panel, good[name], "accuracy", BLUE, "-")
    panel.set_title(name, fontsize=8, loc="left")
    panel.set_ylim(0, 1)


def _curve(panel: Any, runs: list[dict[str, Any]], score: str, colour: str, style: Any) -> None:
    length = min(len(run["round"]) for run in runs)
    progress = np.arange(1, length + 1) / length
    panel.plot(
        progress,
        np.mean([run[score][:length] for run in runs], axis=0),
        color=colour,
        linestyle=style,
        linewidth=1,
    )
    panel.set_xticks([0, 1], ["0", str(runs[0]["round"][-1])])
