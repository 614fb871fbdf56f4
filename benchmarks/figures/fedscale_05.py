"""FedScale's Figure 5: how much phones differ in compute and in bandwidth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.figures.numbers import curve
from benchmarks.figures.picture import (
    BLUE,
    DASHED,
    ORANGE,
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

CAPACITY = "traces/fedscale/client_device_capacity"
PHONES = 40_000
LOOKS = (Look(BLUE), Look(ORANGE, DASHED))
MS = {10: "10", 20: "20", 50: "50", 100: "100", 200: "200", 500: "500"}
KBPS = {1e3: "1", 1e4: "10", 1e5: "100"}


def make(data: Data, out: Path) -> None:
    """Write figure.png, compute.csv and bandwidth.csv to ``out`` and print quantiles."""
    data.need(CAPACITY)
    real = data.trace("fedscale-capacity", "fedscale", [CAPACITY])
    traces = {
        f"FedScale, {real.devices:,} devices": real,
        "recipe phones": data.synthetic("phones", PHONES),
    }
    compute = {name: trace.compute_ms_per_sample for name, trace in traces.items()}
    bandwidth = {name: trace.download_kbps for name, trace in traces.items()}
    print_quantiles("inference, ms a sample", compute)
    print_quantiles("bandwidth, kbit/s", bandwidth)
    for name, devices in traces.items():
        tied = np.corrcoef(np.log(devices.compute_ms_per_sample), np.log(devices.download_kbps))[
            0, 1
        ]
        print(f"{name}: correlation of log compute and log bandwidth {tied:.3f}")
    curves = [
        {name: curve(values) for name, values in table.items()} for table in (compute, bandwidth)
    ]
    write_csv(
        out / "compute.csv", ("series", "share_of_devices", "ms_per_sample"), curve_rows(curves[0])
    )
    write_csv(out / "bandwidth.csv", ("series", "share_of_devices", "kbps"), curve_rows(curves[1]))
    with page(out / "figure.png") as figure:
        axes = figure.subplots(1, 2)
        title(axes[0], "a", "Compute")
        title(axes[1], "b", "Bandwidth")
        for panel, table in zip(axes, curves, strict=True):
            for (name, values), look in zip(table.items(), LOOKS, strict=True):
                draw_curve(panel, values, name, look)
            panel.set(ylabel="CDF across devices", ylim=(0, 1.01))
            panel.legend(loc="lower right")
        axes[0].set(xlabel="inference of one sample, ms")
        axes[1].set(xlabel="bandwidth, Mbit/s")
        ticks(axes[0], MS)
        ticks(axes[1], KBPS)
        axes[0].set_xlim(10, 300)
