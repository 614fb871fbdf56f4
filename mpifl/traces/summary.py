"""The figures of a trace that ``mpifl traces show`` prints and draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.trace import Trace, merged

PER_CENT = (0, 5, 25, 50, 75, 95, 100)
HOUR_SECONDS = 3600.0
HOURS = 24


@dataclass(frozen=True)
class Summary:
    """Figures of a trace. A stay is a time online without a gap: slots that touch are one stay."""

    devices: int
    patterns: int
    slots: int
    curves: int
    never_online: int
    """Number of patterns that are never online."""
    always_online: int
    """Number of patterns that are always online."""
    online: float
    """Share of the seconds of all patterns, each over its own period, that are online."""
    online_by_hour: np.ndarray
    """(24,) the same for each hour since second 0 of the pattern's day."""
    quantiles: dict[str, np.ndarray]
    """Quantiles at ``PER_CENT``, (7,) float64, by name; a name without values is missing.

    They are those of each device column; of ``stay_seconds`` and ``gap_seconds`` between stays; of
    ``online_share`` and ``period_days`` by pattern; and of ``curve_download_kbps``,
    ``curve_upload_kbps`` (means over the period) and ``curve_seconds`` by bandwidth curve."""
    whole_days: bool
    """Whether all periods are whole days, so that an hour of the trace is an hour of the day."""


def summarise(trace: Trace) -> Summary:
    """Return the figures of a trace that ``check_trace`` accepts."""
    stays = merged(trace, 0.0)
    pattern = np.repeat(np.arange(stays.patterns), np.diff(stays.offsets))
    lengths = stays.end - stays.start
    online = np.bincount(pattern, lengths, minlength=trace.patterns)

    tables = {column: getattr(trace, column) for column in trace.device_columns}
    tables["stay_seconds"] = _stay_seconds(stays, lengths)
    tables["gap_seconds"] = _gap_seconds(stays, pattern)
    tables["online_share"] = online / trace.period
    tables["period_days"] = trace.period / DAY_SECONDS
    if trace.bandwidth.curves:
        down, up = curve_means(trace.bandwidth)
        tables["curve_download_kbps"] = down
        tables["curve_upload_kbps"] = up
        tables["curve_seconds"] = trace.bandwidth.period

    online_by_hour = _by_hour(stays.start, stays.end)
    seconds_by_hour = _by_hour(np.zeros(trace.patterns), trace.period)
    return Summary(
        devices=trace.devices,
        patterns=trace.patterns,
        slots=len(trace.start),
        curves=trace.bandwidth.curves,
        never_online=int(np.count_nonzero(online == 0)),
        always_online=int(np.count_nonzero(online == trace.period)),
        online=float(online.sum() / trace.period.sum()),
        # In an hour that no period reaches nobody is online.
        online_by_hour=online_by_hour / np.maximum(seconds_by_hour, np.finfo(float).tiny),
        quantiles={
            name: np.percentile(values, PER_CENT) for name, values in tables.items() if len(values)
        },
        whole_days=bool((trace.period % DAY_SECONDS == 0).all()),
    )


def _by_hour(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the seconds of the intervals [start, end) in each hour of the day, (24,)."""
    first = np.floor(start / HOUR_SECONDS).astype(np.int64)
    last = np.floor(end / HOUR_SECONDS).astype(np.int64)
    first_hour = first % HOURS
    last_hour = last % HOURS

    # Count whole hours from the first to the one before the last; then subtract what the first
    # lacks, and add what there is of the last.
    days = ((last - first) // HOURS).sum() + np.count_nonzero(last_hour < first_hour)
    begun = np.bincount(first_hour, minlength=HOURS)
    ended = np.bincount(last_hour, minlength=HOURS)
    whole = days + np.cumsum(begun - ended)
    in_last = np.bincount(last_hour, end - last * HOUR_SECONDS, HOURS)
    before_first = np.bincount(first_hour, start - first * HOUR_SECONDS, HOURS)
    return whole * HOUR_SECONDS + (in_last - before_first)


def _first_and_last(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the patterns that have slots, and the first and the last slot of each."""
    patterns = np.flatnonzero(np.diff(trace.offsets))
    return patterns, trace.offsets[patterns], trace.offsets[patterns + 1] - 1


def _stay_seconds(stays: Trace, lengths: np.ndarray) -> np.ndarray:
    """Return the lengths of stays; one that continues across the end of the period is one stay."""
    patterns, first, last = _first_and_last(stays)
    at_both_ends = (stays.start[first] == 0) & (stays.end[last] == stays.period[patterns])
    continues = at_both_ends & (first < last)

    lengths = lengths.copy()
    lengths[last[continues]] += lengths[first[continues]]
    keep = np.ones(len(lengths), bool)
    keep[first[continues]] = False
    return lengths[keep]


def _gap_seconds(stays: Trace, pattern: np.ndarray) -> np.ndarray:
    """Return the lengths of gaps between stays, with those across the end of the period."""
    patterns, first, last = _first_and_last(stays)
    between = (stays.start[1:] - stays.end[:-1])[pattern[1:] == pattern[:-1]]
    across = stays.period[patterns] - stays.end[last] + stays.start[first]
    return np.concatenate([between, across[across > 0]])


def curve_means(bandwidth: Bandwidth) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean download and upload speeds (curves,) of each curve, kbit/s."""
    curve = np.repeat(np.arange(bandwidth.curves), np.diff(bandwidth.offsets))
    until = np.append(bandwidth.start[1:], 0.0)
    until[bandwidth.offsets[1:] - 1] = bandwidth.period
    seconds = until - bandwidth.start

    down = np.bincount(curve, bandwidth.download_kbps * seconds)
    up = np.bincount(curve, bandwidth.upload_kbps * seconds)
    return down / bandwidth.period, up / bandwidth.period
