"""Rounds a second over ranks: measured points, and the model's line through and beyond them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.figures.picture import BLUE, DASHED, GREY, page, title
from benchmarks.scaling.table import Row

PANELS = {"strong": "the same participants", "weak": "as many for every executor"}


def draw(path: Path, found: Mapping[str, Sequence[Row]], about: str) -> None:
    """Write a PNG with a panel for each kind of scaling that has rows; ``about`` says whose network it is."""
    kinds = [kind for kind in PANELS if found.get(kind)]
    with page(path, height=3.1) as figure:
        for axes, letter, kind in zip(
            figure.subplots(1, len(kinds), squeeze=False)[0], "ab", kinds, strict=False
        ):
            title(axes, letter, f"{kind.capitalize()}: {PANELS[kind]}")
            _panel(axes, found[kind], kind)
        figure.supxlabel(about, fontsize=7, color=GREY)


def _panel(axes: Axes, rows: Sequence[Row], kind: str) -> None:
    line = sorted({row.ranks: 1 / row.terms.total for row in rows}.items())
    ideal = [
        (ranks, line[0][1] * ((ranks - 1) / (line[0][0] - 1) if kind == "strong" else 1))
        for ranks, _ in line
    ]
    axes.plot(
        *zip(*ideal, strict=True),
        color=GREY,
        linestyle=DASHED,
        linewidth=0.8,
        label="in proportion",
    )
    axes.plot(*zip(*line, strict=True), color=BLUE, label="model")
    for crowded, fill, label in (
        (False, BLUE, "measured"),
        (True, "white", "measured, more ranks than cores"),
    ):
        points = [
            (row.ranks, 1 / row.measured)
            for row in rows
            if row.measured is not None and row.crowded == crowded
        ]
        if points:
            look = {
                "linestyle": "",
                "marker": "o",
                "markeredgecolor": BLUE,
                "markerfacecolor": fill,
                "markersize": 4.5,
            }
            axes.plot(*zip(*points, strict=True), label=label, **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    shown = [rate for _, rate in [*ideal, *line]] + [
        1 / row.measured for row in rows if row.measured is not None
    ]
    axes.set_ylim(
        10 ** math.floor(math.log10(min(shown))), 10 ** math.ceil(math.log10(max(shown)))
    )  # whole decades
    ticks = [
        ranks
        for ranks in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
        if ranks <= line[-1][0]
    ]
    axes.set_xticks(
        ticks[:: 1 + len(ticks) // 7], [f"{ranks:,}" for ranks in ticks[:: 1 + len(ticks) // 7]]
    )
    axes.minorticks_off()
    axes.set(xlabel="ranks", ylabel="rounds a second")
    axes.legend(loc="lower right")
