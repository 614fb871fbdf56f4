"""FedScale's Figure 6: who is online through the day, and how long a device stays online."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.figures.numbers import curve, online_share
from benchmarks.figures.picture import (
    BLUE,
    DOTTED,
    RED,
    Look,
    curve_rows,
    draw_curve,
    page,
    ticks,
    title,
    write_csv,
)
from benchmarks.figures.stores import Data
from benchmarks.figures.words import print_quantiles
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.summary import summarise
from mpifl.traces.trace import Trace, merged

FILES = ["traces/fedscale/client_device_capacity", "traces/fedscale/client_behave_trace"]
MATRIX = "traces/flash/availability_matrix.npy.xz"
LOOKS = (Look(BLUE, "-", 1.4), Look(RED, "-", 1.4), Look(BLUE, DOTTED, 1.2), Look(RED, DOTTED, 1.2))
SYNTHETIC = 10_000
DAYS = 5
STEP_SECONDS = 1800.0
JOINED_SECONDS = 1.0
ROUND_SECONDS = 600.0
DURATIONS = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 86_400: "1 d"}


def make(data: Data, out: Path) -> None:
    """Write figure.png, online.csv, by_hour.csv and stays.csv to ``out`` and print figures."""
    data.need(*FILES, MATRIX)
    fedscale = data.trace("fedscale-behaviour", "fedscale", FILES)
    flash = data.trace("flash", "flash-matrix", [MATRIX])
    traces = {
        f"FedScale, {fedscale.patterns:,} users": fedscale,
        f"FLASH, {flash.patterns:,} phones": flash,
        "recipe phones": data.synthetic("phones", SYNTHETIC),
        "recipe charging": data.synthetic("charging", SYNTHETIC),
    }
    edges = np.arange(0, DAYS * DAY_SECONDS + 1, STEP_SECONDS)
    online = {name: online_share(trace, edges) for name, trace in traces.items()}
    hours = {name: summarise(trace).online_by_hour for name, trace in traces.items()}
    stays = {name: _stays(trace) for name, trace in traces.items()}
    _say(traces, hours, stays)
    middle = (edges[1:] + edges[:-1]) / 2 / 3600
    rows = [
        [name, float(hour), float(share)]
        for name, shares in online.items()
        for hour, share in zip(middle, shares, strict=True)
    ]
    write_csv(out / "online.csv", ("series", "hour_of_trace", "share_online"), rows)
    rows = [
        [name, hour, float(share)]
        for name, shares in hours.items()
        for hour, share in enumerate(shares)
    ]
    write_csv(out / "by_hour.csv", ("series", "hour_of_day", "share_online"), rows)
    curves = {name: curve(lengths) for name, lengths in stays.items()}
    write_csv(out / "stays.csv", ("series", "share_of_stays", "seconds"), curve_rows(curves))
    _draw(out / "figure.png", middle, online, curves)


def _stays(trace: Trace) -> np.ndarray:
    """Seconds of each stay online; slots with no more than JOINED_SECONDS between them are one."""
    joined = merged(trace, JOINED_SECONDS)
    return joined.end - joined.start


def _say(
    traces: dict[str, Trace], hours: dict[str, np.ndarray], stays: dict[str, np.ndarray]
) -> None:
    print_quantiles(
        "slots as they stand in the trace, s",
        {name: trace.end - trace.start for name, trace in traces.items()},
    )
    print_quantiles(f"stays, slots joined over gaps up to {JOINED_SECONDS:g} s, s", stays)
    for name, lengths in stays.items():
        short = lengths < ROUND_SECONDS
        held = lengths[short].sum() / lengths.sum()
        print(
            f"{name}: {short.mean():.1%} of stays are under 10 min; they hold {held:.1%} of the time online;",
            end=" ",
        )
        # Of a stay's moments all but those of its last ROUND_SECONDS are followed by that much of it.
        print(
            f"of who is online {1 - np.minimum(lengths, ROUND_SECONDS).sum() / lengths.sum():.1%} still are 10 min later"
        )
    for name, trace in traces.items():
        shares = hours[name]
        low, high = int(shares.argmin()), int(shares.argmax())
        print(
            f"\n{name}: online {summarise(trace).online:.1%}; {trace.patterns:,} patterns, {len(trace.start):,} slots"
        )
        print(
            f"hour of the day: least {shares[low]:.1%} at {low} h, most {shares[high]:.1%} at {high} h",
            end="",
        )
        print(f", {shares[high] / shares[low]:.2f} times as many")
        print(" ".join(f"{share:.3f}" for share in shares))


def _draw(
    path: Path, hour: np.ndarray, online: dict[str, np.ndarray], curves: dict[str, np.ndarray]
) -> None:
    with page(path) as figure:
        left, right = figure.subfigures(1, 2)
        above, below = left.subplots(2, 1, sharex=True)
        title(above, "a", "Who is online")
        for axes, most in ((above, 100), (below, 20)):
            axes.set(
                ylim=(0, most),
                yticks=(0, most / 2, most),
                xlim=(0, 24 * DAYS),
                xticks=range(0, 24 * DAYS + 1, 24),
            )
        for axes, (name, shares), look in zip(
            (above, below) * 2, online.items(), LOOKS, strict=True
        ):
            axes.plot(
                hour,
                100 * shares,
                color=look.colour,
                linestyle=look.line,
                linewidth=look.width,
                label=name,
            )
        above.legend(loc="lower right", ncols=2)
        below.legend(loc="upper right", ncols=2)
        below.set(xlabel="hour of the trace")
        left.supylabel("devices online, %", fontsize=9)
        axes = right.subplots()
        title(axes, "b", "How long a device stays online")
        for (name, lengths), look in zip(curves.items(), LOOKS, strict=True):
            draw_curve(axes, lengths, name, look)
        axes.set(xlabel="length of a stay online", ylabel="CDF across stays", ylim=(0, 1.01))
        ticks(axes, DURATIONS)
        axes.legend(loc="upper left")
