"""Bandwidth curves from files: one direction at a time, then both over one period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.errors import InputError
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.importers.parsing import names

WAYS = (".down", ".up")
SYMMETRIC = "Use each file for both directions, whatever its name."
MOST_POINTS = (
    10_000_000  # of one curve: beyond that a file is a mistake, and its curve would fill the memory
)


@dataclass(frozen=True)
class Steps:
    """Speed of one direction: ``kbps`` (steps,) from ``start`` (steps,) seconds on, the first 0, repeated every ``period``."""

    start: np.ndarray
    kbps: np.ndarray
    period: float


def curves(
    paths: Sequence[Path], read: Callable[[Path], Steps], symmetric: bool
) -> tuple[Bandwidth, list[str]]:
    """A curve of each pair X.down and X.up, and of each file of another name, which then stands for both directions.

    ``symmetric`` makes every file a curve for both directions, whatever its name. Returns the curves and notes. Raises
    InputError for a file of a pair whose other one is not among them, and for a file that is named twice.
    """
    pairs = _pairs(paths, symmetric)
    steps = {path: read(path) for path in dict.fromkeys(path for pair in pairs for path in pair)}
    for down, up in pairs:
        longer = max(steps[down].period, steps[up].period)
        for path in (down, up):
            if longer / steps[path].period * len(steps[path].start) > MOST_POINTS:
                raise InputError(
                    f"{path}: {steps[path].period:g} s, beside {longer:g} s of the other direction: too short for it"
                )
    found = [_both(steps[down], steps[up]) for down, up in pairs]
    counts = [len(start) for start, _, _, _ in found]
    start, kbps_down, kbps_up = (
        np.concatenate([curve[which] for curve in found]) for which in range(3)
    )
    bandwidth = Bandwidth(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        start=start,
        download_kbps=kbps_down,
        upload_kbps=kbps_up,
        period=np.array([period for _, _, _, period in found]),
    )
    notes = []
    alone = [down for down, up in pairs if down == up]
    if alone:
        notes.append(
            f"{len(alone)} of {len(pairs)} curves have one file for both directions ({names(alone)})"
        )
    uneven = sum(steps[down].period != steps[up].period for down, up in pairs)
    if uneven:
        notes.append(
            f"in {uneven} of {len(pairs)} pairs one direction is shorter: it is repeated until the longer one ends"
        )
    return bandwidth, notes


def _pairs(paths: Sequence[Path], symmetric: bool) -> list[tuple[Path, Path]]:
    for at, path in enumerate(paths):
        if path in paths[:at]:
            raise InputError(f"{path}: named twice")
    pairs = []
    for path in paths:
        if symmetric or path.suffix not in WAYS:
            pairs.append((path, path))
            continue
        down, up = (path.with_suffix(way) for way in WAYS)
        if down not in paths or up not in paths:
            missing = up if path == down else down
            raise InputError(
                f"{path}: {missing} is not among the files; name both, or say --symmetric to use each for both directions"
            )
        if path == down:
            pairs.append((down, up))
    return pairs


def _both(down: Steps, up: Steps) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Both directions by the points of either, over the longer period."""
    period = max(down.period, up.period)
    down, up = _repeated(down, period), _repeated(up, period)
    start = np.union1d(down.start, up.start)
    kbps_down, kbps_up = (
        way.kbps[np.searchsorted(way.start, start, side="right") - 1] for way in (down, up)
    )
    return start, kbps_down, kbps_up, period


def _repeated(steps: Steps, period: float) -> Steps:
    """The steps over ``period``, which is not shorter than their own."""
    turns = int(np.ceil(period / steps.period))
    start = (np.arange(turns)[:, None] * steps.period + steps.start).reshape(-1)
    inside = start < period
    return Steps(start[inside], np.tile(steps.kbps, turns)[inside], period)
