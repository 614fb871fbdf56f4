"""The picture of a workload: a bar a framework, seconds a round, logarithmic."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.figures.picture import BLUE, GREY, ORANGE, page, ticks


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the medians with the least and the most of the runs' medians; frameworks that did not run are left out."""
    rows = [row for row in result["rows"] if "seconds" in row]
    if not rows:
        return
    with page(path, 0.9 + 0.32 * len(rows)) as figure:
        axes = figure.subplots()
        for place, row in enumerate(reversed(rows)):
            kind = row["name"].split(",")[0]
            colour = {"floor": GREY, "ours": BLUE}.get(kind, ORANGE)
            middle = row["seconds"]
            spread = [[max(0.0, middle - row["least"])], [max(0.0, row["most"] - middle)]]
            axes.barh(
                place,
                middle,
                xerr=spread,
                color=colour,
                height=0.62,
                error_kw={"elinewidth": 0.9, "capsize": 2},
            )
            behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(
                row["most"] * 1.08, place, f"{middle:.3g} s", va="center", fontsize=7.5, bbox=behind
            )
            if kind == "floor":
                axes.axvline(middle, color=GREY, linewidth=0.8, linestyle=(0, (4, 1.5)))
        axes.set_yticks(
            range(len(rows)), [f"{row['name']} {row['version']}" for row in reversed(rows)]
        )
        lowest = math.floor(math.log10(min(row["least"] for row in rows) / 1.5))
        highest = math.ceil(math.log10(max(row["most"] for row in rows) * 1.5))
        ticks(axes, {10.0**k: f"{10.0**k:g}" for k in range(lowest, highest + 1)})
        axes.set_xlim(10.0**lowest, 10.0**highest)
        axes.set_xlabel("seconds a round (logarithmic)")
        axes.set_title(f"{result['workload']}: {result['machine']}", loc="left")
        axes.grid(visible=False, axis="y")
