"""Bandwidth over time: curves of what a phone's radio carries, instead of a constant speed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpifl.errors import InputError

COLUMNS = ("start", "download_kbps", "upload_kbps", "period")


def _empty() -> np.ndarray:
    return np.empty(0, np.float64)


@dataclass(frozen=True)
class Bandwidth:
    """Curves of speed over time; without curves a phone has the constant speeds of its device.

    Curve k has points offsets[k] to offsets[k + 1] (int64). Each point is in force from ``start``
    seconds into the period (0 at a curve's first point) until the next point: the phone downloads
    ``download_kbps`` and uploads ``upload_kbps`` kbit/s (float64, 0 in an outage). After ``period``
    seconds (curves,) the curve repeats.
    """

    offsets: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    start: np.ndarray = field(default_factory=_empty)
    download_kbps: np.ndarray = field(default_factory=_empty)
    upload_kbps: np.ndarray = field(default_factory=_empty)
    period: np.ndarray = field(default_factory=_empty)

    @property
    def curves(self) -> int:
        """Number of curves."""
        return len(self.period)


def check_bandwidth(source: Path | str, bandwidth: Bandwidth) -> None:
    """Raise InputError for anything that the clock cannot rely on.

    The error names the source, the curve and the value.
    """
    offsets = bandwidth.offsets
    start = bandwidth.start
    period = bandwidth.period
    points = len(start)
    if len(offsets) != bandwidth.curves + 1 or offsets[0] != 0 or offsets[-1] != points:
        raise InputError(
            f"{source}: bandwidth offsets do not span its {points} points and"
            f" {bandwidth.curves} curves"
        )
    if (np.diff(offsets) < 1).any():
        raise InputError(f"{source}: curve {int(np.argmax(np.diff(offsets) < 1))}: has no points")

    every_curve = np.arange(bandwidth.curves)
    curve = np.repeat(every_curve, np.diff(offsets))
    first = np.zeros(points, bool)
    first[offsets[:-1]] = True
    falls = ~first & (np.diff(start, prepend=0) <= 0)
    positive = np.isfinite(period) & (period > 0)
    checks = [
        (period, ~positive, every_curve, "period", "must be finite and above 0"),
        (start, ~np.isfinite(start), curve, "start", "must be finite"),
        (start, first & (start != 0), curve, "start", "the first point of a curve begins at 0"),
        (start, falls, curve, "start", "must rise from point to point"),
        (start, start >= period[curve], curve, "start", "must lie inside the period"),
    ]
    for name in ("download_kbps", "upload_kbps"):
        speed = getattr(bandwidth, name)
        if len(speed) != points:
            raise InputError(f"{source}: bandwidth {name} has {len(speed)} points, start {points}")
        valid = np.isfinite(speed) & (speed >= 0)
        checks.append((speed, ~valid, curve, name, "must be finite and not negative"))
        most = np.maximum.reduceat(speed, offsets[:-1]) if points else speed
        problem = "at all times: nothing would ever arrive"
        checks.append((most, ~(most > 0), every_curve, name, problem))

    for values, wrong, curve_of, name, problem in checks:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{source}: curve {curve_of[row]}: {name} {values[row]}; {problem}")
