"""Bandwidth over time: what a phone's radio really carries, second by second, instead of one constant speed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpifl.errors import InputError

COLUMNS = ("start", "download_kbps", "upload_kbps", "period")


def _none() -> np.ndarray:
    return np.empty(0, np.float64)


@dataclass(frozen=True)
class Bandwidth:
    """Curves of speed over time; without curves a phone has the constant speeds of its device.

    Curve k has points offsets[k] to offsets[k + 1] (int64). From ``start`` seconds into the period (0 at a curve's first point)
    until the next point the phone downloads ``download_kbps`` and uploads ``upload_kbps`` kbit/s (float64, 0 in an outage);
    after ``period`` seconds (curves,) the curve repeats.
    """

    offsets: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    start: np.ndarray = field(default_factory=_none)
    download_kbps: np.ndarray = field(default_factory=_none)
    upload_kbps: np.ndarray = field(default_factory=_none)
    period: np.ndarray = field(default_factory=_none)

    @property
    def curves(self) -> int:
        """How many curves there are."""
        return len(self.period)


def check_bandwidth(where: Path | str, bandwidth: Bandwidth) -> None:
    """Raise InputError naming curve and value, for anything that the clock cannot rely on."""
    offsets, start, period = bandwidth.offsets, bandwidth.start, bandwidth.period
    speeds = {name: getattr(bandwidth, name) for name in ("download_kbps", "upload_kbps")}
    points = len(start)
    if len(offsets) != bandwidth.curves + 1 or offsets[0] != 0 or offsets[-1] != points:
        raise InputError(f"{where}: bandwidth offsets do not span its {points} points and {bandwidth.curves} curves")
    if (np.diff(offsets) < 1).any():
        raise InputError(f"{where}: curve {int(np.argmax(np.diff(offsets) < 1))}: has no points")
    curve = np.repeat(np.arange(bandwidth.curves), np.diff(offsets))
    first = np.zeros(points, bool)
    first[offsets[:-1]] = True
    checks = [
        (period, ~(np.isfinite(period) & (period > 0)), np.arange(bandwidth.curves), "period", "must be finite and above 0"),
        (start, ~np.isfinite(start), curve, "start", "must be finite"),
        (start, first & (start != 0), curve, "start", "the first point of a curve begins at 0"),
        (start, ~first & (np.diff(start, prepend=0) <= 0), curve, "start", "must rise from point to point"),
        (start, start >= period[curve], curve, "start", "must lie inside the period"),
    ]
    for name, values in speeds.items():
        if len(values) != points:
            raise InputError(f"{where}: bandwidth {name} has {len(values)} points, start {points}")
        checks.append((values, ~(np.isfinite(values) & (values >= 0)), curve, name, "must be finite and not negative"))
        always = np.maximum.reduceat(values, offsets[:-1]) if points else values
        checks.append((always, ~(always > 0), np.arange(bandwidth.curves), name, "at all times: nothing would ever arrive"))
    for values, wrong, number, name, what in checks:
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InputError(f"{where}: curve {number[at]}: {name} {values[at]}; {what}")
