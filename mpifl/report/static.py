"""Charts as PNG and PDF by matplotlib, and their numbers as CSV.

The same charts give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from mpifl.errors import InputError
from mpifl.io.files import whole_file, write_text
from mpifl.report.chart import (
    Axis,
    Band,
    Bars,
    Chart,
    Heat,
    Line,
    Mark,
    Panel,
    Points,
    Spans,
    Steps,
    Table,
)
from mpifl.report.numbers import chart_csv, table_csv

COLOURS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "grey": "#6b7280",
}
LINES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (4, 1.5)),
    "dot": (0, (1, 1.2)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
}
HATCHES = {"solid": "", "dash": "////", "dot": "....", "dashdot": "xxxx"}
SYMBOLS = {
    "circle": "o",
    "x": "x",
    "square": "s",
    "diamond": "D",
    "triangle": "^",
    "star": "*",
    "plus": "+",
}
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,  # a $ in a name is a $
    "pdf.fonttype": 42,
}
WIDTH, HEIGHT = 7.2, 3.0
"""Of a panel across the page, in inches; two panels share the width."""

MOST_TICKS = 25
MOST_SERIES = 24
"""In a legend; more leave no room for the chart."""

MOST_COLUMNS = 4
LEGEND_LETTERS = 112
"""How many letters of a legend fit side by side across the page."""
HANDLE_LETTERS = 9
"""The room of a label's line and of the space around both, in letters."""
TITLE_LETTERS = 80
"""How many letters of a panel's title fit side by side across the page."""

UNDATED = {"png": {"Software": None}, "pdf": {"CreationDate": None}}


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise InputError unless charts can be written to ``folder``: new, empty, or ``overwrite``."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--static: {folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"--static: {folder}: not empty; name another folder, or say --force")
    if not folder.exists() and not folder.parent.is_dir():
        raise InputError(f"--static: {folder}: there is no folder {folder.parent}")


def write_static(folder: Path, charts: Iterable[Chart | Table]) -> list[Path]:
    """Write each chart as NAME.png, NAME.pdf and NAME.csv, each table as NAME.csv.

    Return the files. Raises InputError when the folder cannot be made, DiskFull when the disk is
    full.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"--static: {folder}: {error.strerror}") from error

    files = []
    for chart in charts:
        text = table_csv(chart) if isinstance(chart, Table) else chart_csv(chart)
        files.append(folder / f"{chart.name}.csv")
        write_text(files[-1], text)
        if isinstance(chart, Chart):
            with mpl.rc_context(STYLE):
                figure = drawn(chart)
                for kind, metadata in UNDATED.items():
                    files.append(folder / f"{chart.name}.{kind}")
                    with whole_file(files[-1]) as partial:
                        figure.savefig(partial, format=kind, dpi=150, metadata=metadata)
    return files


def drawn(chart: Chart) -> Figure:
    """Return a figure of the panels that a chart has on paper, two a row."""
    panels = [chart.panels[number] for number in chart.on_paper]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, HEIGHT * rows), layout="constrained")
    figure.suptitle(chart.title, fontsize=10)
    named: dict[str, Artist] = {}
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, place + 1)
        named |= _draw_panel(axes, panel)
        if len(panels) > 1:
            words = f"{chart.choice} {panel.label}" if panel.label.isdigit() else panel.label
            title = ", ".join(filter(None, (panel.part, words)))
            axes.set_title(fill(title, TITLE_LETTERS // columns), loc="left")
    if 0 < len(named) <= MOST_SERIES:
        labels = list(named)
        ncols = legend_columns(labels)
        figure.legend(list(named.values()), labels, loc="outside lower center", ncols=ncols)
    return figure


def legend_columns(labels: list[str]) -> int:
    """Return the most columns in which the labels fit side by side, at most MOST_COLUMNS."""
    for columns in range(MOST_COLUMNS, 1, -1):
        parts = np.array_split([len(label) for label in labels], columns)
        letters = sum(int(part.max(initial=0)) + HANDLE_LETTERS for part in parts if len(part))
        if letters <= LEGEND_LETTERS:
            return columns
    return 1


def _draw_panel(axes: Axes, panel: Panel) -> dict[str, Artist]:
    """Draw a panel; return what stands in the legend, by name."""
    bottoms: dict[float, float] = {}
    for mark in panel.marks:
        _draw(axes, mark, bottoms)
    _set_axis(axes, "x", panel.x)
    _set_axis(axes, "y", panel.y)
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def _draw(axes: Axes, mark: Mark, bottoms: dict[float, float]) -> None:
    """Draw a mark; ``bottoms`` are the heights of the bars so far by their place."""
    colour = COLOURS[mark.look.colour]
    named: dict[str, Any] = {"label": mark.name}
    line = {**named, "color": colour, "linestyle": LINES[mark.look.dash]}
    hatch = HATCHES[mark.look.dash]
    bar = {**named, "facecolor": colour, "edgecolor": "white", "linewidth": 0, "hatch": hatch}

    match mark:
        case Line():
            axes.plot(mark.x, mark.y, marker="o" if len(mark.x) == 1 else None, **line)
        case Points():
            symbol = SYMBOLS[mark.symbol]
            axes.scatter(mark.x, mark.y, 10, colour, marker=symbol, zorder=3, **named)
        case Band():
            axes.fill_between(mark.x, mark.low, mark.high, color=colour, alpha=0.18, linewidth=0)
        case Bars():
            below = np.zeros(len(mark.x))
            if not mark.beside:
                below = np.array([bottoms.get(x, 0.0) for x in mark.x.tolist()])
                tops = (below + mark.y).tolist()
                bottoms.update(zip(mark.x.tolist(), tops, strict=True))
            axes.bar(mark.x, mark.y, mark.width, below, **bar)
        case Steps():
            edges = np.append(mark.start, mark.end[-1:])
            axes.stairs(mark.y, edges, **line)
            if mark.filled:
                axes.stairs(mark.y, edges, color=colour, fill=True, alpha=0.15)
        case Spans():
            for patch in axes.barh(mark.row, mark.length, 0.9, mark.start, **bar):
                patch.sticky_edges.x[:] = [0.0]  # room for a line at the end of the last span
        case Heat():
            shape = (len(np.unique(mark.y)), len(np.unique(mark.x)))
            cells = mark.value.reshape(shape)
            image = axes.imshow(cells, cmap="Blues", aspect="auto", interpolation="nearest")
            axes.grid(False)
            axes.figure.colorbar(image, ax=axes, label=mark.name)


def _set_axis(axes: Axes, which: str, axis: Axis) -> None:
    """Set the x or y axis as a chart has it."""
    axes.set(**{f"{which}label": axis.label})
    drawn_axis = axes.xaxis if which == "x" else axes.yaxis
    if axis.scale == "log":
        axes.set(**{f"{which}scale": "log"})
        drawn_axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        drawn_axis.set_minor_formatter(NullFormatter())
    if axis.whole:
        drawn_axis.set_major_locator(MaxNLocator(integer=True))
    if axis.ticks:
        step = -(-len(axis.ticks) // MOST_TICKS)
        drawn_axis.set_ticks(range(0, len(axis.ticks), step), axis.ticks[::step])
    if axis.low is not None or axis.high is not None:
        axes.set(**{f"{which}lim": (axis.low, axis.high)})
    drawn_axis.set_inverted(axis.downwards)
