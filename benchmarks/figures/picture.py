"""How figures look: two panels side by side, as in a paper's column across the page."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures.numbers import STEPS
from mpifl.io.files import whole_file

# Okabe and Ito's colours, told apart by the colour-blind too; and line styles, told apart in grey.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#555555",
)
DASHED, DOTTED, DASH_DOT, LONG = (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2))
STYLE = {
    "font.size": 8.5,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
}
SHARES = np.linspace(0, 1, STEPS + 1)


@contextlib.contextmanager
def page(path: Path, height: float = 2.9) -> Iterator[Figure]:
    """Draw a PNG in the block, ``height`` in inches; it changes only with what is drawn, and appears when all is."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        yield figure
        with whole_file(path) as partial:
            figure.savefig(partial, format="png", dpi=200, metadata={"Software": None})


def title(axes: Axes, letter: str, text: str) -> None:
    """What a panel shows, above it."""
    axes.set_title(f"({letter}) {text}", loc="left")


class Look(NamedTuple):
    """How a line looks."""

    colour: str
    line: str | tuple[int, tuple[float, ...]] = "-"
    width: float = 1.5


def draw_curve(axes: Axes, values: np.ndarray, label: str | None, look: Look) -> None:
    """A curve of ``numbers.curve`` as the step function that it is."""
    style = {"color": look.colour, "linestyle": look.line, "linewidth": look.width}
    axes.plot(values, SHARES, drawstyle="steps-post", label=label, **style)


def ticks(axes: Axes, texts: Mapping[float, str]) -> None:
    """Ticks of a logarithmic x axis as they are to be read, and none between them."""
    axes.set_xscale("log")
    axes.set_xticks(list(texts), list(texts.values()))
    axes.minorticks_off()


def write_csv(path: Path, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table; numbers keep six figures."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(heading)
        table.writerows(
            [f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows
        )


def curve_rows(curves: Mapping[str, np.ndarray]) -> list[list[object]]:
    """Rows series, share, value of curves of ``numbers.curve``."""
    return [
        [name, float(share), float(value)]
        for name, values in curves.items()
        for share, value in zip(SHARES, values, strict=True)
    ]
