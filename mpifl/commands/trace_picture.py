"""The summary of a trace as a picture, as ``mpifl traces show --picture`` draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from mpifl.commands.drawing import PLAIN, plain_ticks, save_picture
from mpifl.errors import counted
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.summary import HOURS, Summary, curve_means
from mpifl.traces.trace import Trace, merged

DOWN = "#1f77b4"
UP = "#ff7f0e"
FAINT = 0.45
BINS = 60
CELLS = 50
CURVES_DRAWN = 4
MOST_POINTS = 100_000  # drawn of a curve
TICKS = {1: "1 s", 60: "1 min", 3600: "1 h", 86_400: "1 d"}


def draw(path: Path, trace: Trace, summary: Summary) -> None:
    """Write a picture in the format of the file's name (.png, .svg, .pdf).

    The same trace gives the same bytes.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3)
    counts = f"{counted(summary.devices, 'device')}, {counted(summary.patterns, 'pattern')}"
    title = f"{trace.name}: {counts}, online {summary.online:.1%} of the time"
    figure.suptitle(title, parse_math=False)

    compute = [(trace.compute_ms_per_sample, PLAIN, "")]
    _histogram(axes[0, 0], compute, "compute, ms of inference a sample", "devices")
    if trace.bandwidth.curves:
        _curves(axes[0, 1], trace.bandwidth)
        _correlation(axes[0, 2], *curve_means(trace.bandwidth), "curves, mean of each")
    else:
        speeds = [(trace.download_kbps, DOWN, "download"), (trace.upload_kbps, UP, "upload")]
        _histogram(axes[0, 1], speeds, "bandwidth, kbit/s", "devices")
        _correlation(axes[0, 2], trace.download_kbps, trace.upload_kbps, "devices")
    _hours(axes[1, 0], summary)
    _stays(axes[1, 1], trace)
    _shares(axes[1, 2], trace)

    save_picture(figure, path)


def _histogram(
    axes: Axes, columns: list[tuple[np.ndarray, str, str]], label: str, count: str
) -> None:
    """Draw histograms of columns (values, colour, name), with bins of equal logarithmic width.

    The first is filled and the second a line, so that both are seen where they are equal.
    """
    low = min(float(values.min()) for values, _, _ in columns)
    high = max(float(values.max()) for values, _, _ in columns)
    if low == high:
        low /= 2
        high *= 2
    bins = np.geomspace(low, high * (1 + 1e-9), BINS + 1)

    filled: dict[str, Any] = {"fill": True, "alpha": 1.0 if len(columns) == 1 else FAINT}
    line: dict[str, Any] = {"fill": False, "lw": 1.2}
    for number, (values, colour, name) in enumerate(columns):
        counts = np.histogram(values, bins)[0]
        style = line if number else filled
        axes.stairs(counts, bins, color=colour, label=name or None, **style)

    axes.set(xscale="log", xlabel=label, ylabel=count)
    plain_ticks(axes.xaxis)
    if len(columns) > 1:
        axes.legend(frameon=False)


def _correlation(axes: Axes, down: np.ndarray, up: np.ndarray, what: str) -> None:
    """Draw download against upload speeds, as counts in cells."""
    cells, x, y = np.histogram2d(np.log10(down), np.log10(up), bins=CELLS)
    most = max(2.0, float(cells.max()))
    filled = np.ma.masked_equal(cells.T, 0)
    image = axes.pcolormesh(10**x, 10**y, filled, norm=LogNorm(1, most), rasterized=True)

    axes.set(xscale="log", yscale="log", xlabel="download, kbit/s", ylabel="upload, kbit/s")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.figure.colorbar(image, ax=axes, label=what)


def _curves(axes: Axes, bandwidth: Bandwidth) -> None:
    """Draw the first few curves over their periods.

    Download is a broad pale line and upload a thin one, so that both are seen where they are equal.
    """
    for curve in range(min(CURVES_DRAWN, bandwidth.curves)):
        begin = bandwidth.offsets[curve]
        points = slice(begin, min(bandwidth.offsets[curve + 1], begin + MOST_POINTS))
        for name, colour, width, alpha in (
            ("download_kbps", DOWN, 2.5, FAINT),
            ("upload_kbps", UP, 0.7, 1.0),
        ):
            values = getattr(bandwidth, name)[points] / 1000
            label = name.split("_")[0] if curve == 0 else None
            axes.plot(
                bandwidth.start[points],
                values,
                color=colour,
                drawstyle="steps-post",
                lw=width,
                alpha=alpha,
                label=label,
            )

    drawn = "all curves"
    if bandwidth.curves > CURVES_DRAWN:
        drawn = f"first {CURVES_DRAWN} of {counted(bandwidth.curves, 'curve')}"
    axes.set(xlabel="seconds", ylabel="Mbit/s", title=f"bandwidth: {drawn}")
    axes.legend(frameon=False)


def _hours(axes: Axes, summary: Summary) -> None:
    axes.bar(np.arange(HOURS) + 0.5, 100 * summary.online_by_hour, width=0.9, color=PLAIN)
    axes.axhline(100 * summary.online, color="black", lw=0.8, ls="--")
    axes.set(
        xlim=(0, HOURS),
        xticks=range(0, HOURS + 1, 4),
        xlabel="hour of the day",
        ylabel="online, % (dashed: mean)",
    )


def _stays(axes: Axes, trace: Trace) -> None:
    """Draw the share of stays that are at most x long."""
    stays = merged(trace, 0.0)
    lengths = np.ones(501)
    if len(stays.start):
        lengths = np.quantile(stays.end - stays.start, np.linspace(0, 1, 501))
    axes.plot(lengths, np.linspace(0, 100, 501), color=PLAIN)

    low = lengths[0]
    high = lengths[-1]
    ticks = {second: text for second, text in TICKS.items() if low / 10 <= second <= high * 10}
    axes.set(
        xscale="log",
        xlabel="length of a stay online",
        ylabel="stays that are shorter, %",
        ylim=(0, 100),
    )
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()


def _shares(axes: Axes, trace: Trace) -> None:
    pattern = np.repeat(np.arange(trace.patterns), np.diff(trace.offsets))
    online = np.bincount(pattern, trace.end - trace.start, trace.patterns) / trace.period
    axes.hist(100 * online, bins=[2.0 * edge for edge in range(51)], color=PLAIN)
    axes.set(xlim=(0, 100), xlabel="time online, %", ylabel="patterns")
