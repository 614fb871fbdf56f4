"""A trace in numbers: what ``mpifl traces show`` prints and draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.trace import DEVICE_COLUMNS, Trace, merged

PER_CENT = (0, 5, 25, 50, 75, 95, 100)
HOUR_SECONDS = 3600.0
HOURS = 24


@dataclass(frozen=True)
class Summary:
    """Figures of a trace. Quantiles are at ``PER_CENT``, (7,) float64; a table of none is empty."""

    devices: int
    patterns: int
    slots: int
    curves: int
    never_online: int
    always_online: int
    online: float
    """Share of all seconds of all patterns, each over its own period, in which they are online."""
    online_by_hour: np.ndarray
    """(24,) the same by the hour since second 0 of the pattern's day."""
    quantiles: dict[str, np.ndarray]
    """Of each device column; ``stay_seconds`` (slots that touch are one stay), ``gap_seconds`` between stays,
    ``online_share`` by pattern, ``period_days``; and of bandwidth curves ``curve_download_kbps``, ``curve_upload_kbps`` (means
    over the period) and ``curve_seconds``."""
    whole_days: bool
    """Whether all periods are whole days, so that an hour of the trace is an hour of the day."""


def summarise(trace: Trace) -> Summary:
    """All figures of a trace that ``check_trace`` accepts."""
    stays = merged(trace, 0.0)
    pattern = np.repeat(np.arange(stays.patterns), np.diff(stays.offsets))
    lasted = stays.end - stays.start
    online = np.bincount(pattern, lasted, minlength=trace.patterns)
    share = online / trace.period
    tables = {column: getattr(trace, column) for column in DEVICE_COLUMNS}
    tables["stay_seconds"] = _round_the_border(stays, pattern, lasted)
    tables["gap_seconds"] = _gaps(stays, pattern)
    tables["online_share"] = share
    tables["period_days"] = trace.period / DAY_SECONDS
    if trace.bandwidth.curves:
        down, up = curve_means(trace.bandwidth)
        tables |= {"curve_download_kbps": down, "curve_upload_kbps": up, "curve_seconds": trace.bandwidth.period}
    return Summary(
        devices=trace.devices,
        patterns=trace.patterns,
        slots=len(trace.start),
        curves=trace.bandwidth.curves,
        never_online=int(np.count_nonzero(online == 0)),
        always_online=int(np.count_nonzero(online == trace.period)),
        online=float(online.sum() / trace.period.sum()),
        # An hour that no period reaches has nobody in it.
        online_by_hour=_by_hour(stays.start, stays.end)
        / np.maximum(_by_hour(np.zeros(trace.patterns), trace.period), np.finfo(float).tiny),
        quantiles={name: np.percentile(values, PER_CENT) for name, values in tables.items() if len(values)},
        whole_days=bool((trace.period % DAY_SECONDS == 0).all()),
    )


def _by_hour(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Seconds of intervals in each hour of the day, (24,)."""
    first, last = (np.floor(times / HOUR_SECONDS).astype(np.int64) for times in (start, end))
    a, b = first % HOURS, last % HOURS
    # Whole hours from the first to the one before the last, less what the first lacks, and what there is of the last.
    days = ((last - first) // HOURS).sum() + np.count_nonzero(b < a)
    whole = days + np.cumsum(np.bincount(a, minlength=HOURS) - np.bincount(b, minlength=HOURS))
    parts = np.bincount(b, end - last * HOUR_SECONDS, HOURS) - np.bincount(a, start - first * HOUR_SECONDS, HOURS)
    return whole * HOUR_SECONDS + parts


def _ends(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patterns that have slots, and the first and the last slot of each."""
    some = np.flatnonzero(np.diff(trace.offsets))
    return some, trace.offsets[some], trace.offsets[some + 1] - 1


def _round_the_border(stays: Trace, pattern: np.ndarray, lasted: np.ndarray) -> np.ndarray:
    """Lengths of stays; one that goes on from the end of the period to its beginning is one stay."""
    some, first, last = _ends(stays)
    on = (stays.start[first] == 0) & (stays.end[last] == stays.period[some]) & (first < last)
    lengths = lasted.copy()
    lengths[last[on]] += lengths[first[on]]
    keep = np.ones(len(lengths), bool)
    keep[first[on]] = False
    return lengths[keep]


def _gaps(stays: Trace, pattern: np.ndarray) -> np.ndarray:
    """Lengths of gaps between stays, the one round the border of the period included."""
    some, first, last = _ends(stays)
    between = (stays.start[1:] - stays.end[:-1])[pattern[1:] == pattern[:-1]]
    border = stays.period[some] - stays.end[last] + stays.start[first]
    return np.concatenate([between, border[border > 0]])


def curve_means(bandwidth: Bandwidth) -> tuple[np.ndarray, np.ndarray]:
    """Mean download and upload speeds of each curve over its period, (curves,) kbit/s."""
    curve = np.repeat(np.arange(bandwidth.curves), np.diff(bandwidth.offsets))
    until = np.append(bandwidth.start[1:], 0.0)
    until[bandwidth.offsets[1:] - 1] = bandwidth.period
    seconds = until - bandwidth.start
    down, up = (np.bincount(curve, speed * seconds) for speed in (bandwidth.download_kbps, bandwidth.upload_kbps))
    return down / bandwidth.period, up / bandwidth.period
