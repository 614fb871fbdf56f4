"""Availability patterns by themselves: what a recipe or a source gives before it is part of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.errors import InputError


@dataclass(frozen=True)
class Slots:
    """Patterns as in ``Trace``: pattern k is online in [start[i], end[i]) for i from offsets[k] to offsets[k + 1].

    ``offsets`` is (patterns + 1,) int64; ``start`` and ``end`` (slots,) and ``period`` (patterns,) are float64 seconds.
    """

    offsets: np.ndarray
    start: np.ndarray
    end: np.ndarray
    period: np.ndarray


def of_counts(counts: np.ndarray, start: np.ndarray, end: np.ndarray, period: np.ndarray) -> Slots:
    """Slots of patterns that have ``counts`` of them, one pattern after the other."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Slots(offsets, start.astype(np.float64), end.astype(np.float64), period.astype(np.float64))


def check_slots(where: Path | str, names: Sequence[object], slots: Slots) -> None:
    """Raise InputError that names client (as its source does) and value, for slots that no trace may have.

    Refused are: no slot at all, a period that is not above 0, slots that are not finite, run backwards, leave the period,
    are out of order or overlap. Slots of no length pass: ``without_empty`` drops them.
    """
    client = np.repeat(np.arange(len(slots.period)), np.diff(slots.offsets))
    wrong = ~(np.isfinite(slots.period) & (slots.period > 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(f"{where}: client {names[first]}: period {slots.period[first]:g} s; must be finite and above 0")
    if not len(slots.start):
        raise InputError(f"{where}: no client is ever online; a trace needs one slot or more")
    start, end = slots.start, slots.end
    same = client[1:] == client[:-1]
    checks = (
        (~(np.isfinite(start) & np.isfinite(end)), "is not finite"),
        (start < 0, "begins before 0"),
        (end < start, "runs backwards"),
        (end > slots.period[client], "ends after the period"),
        (
            np.concatenate([[False], same & (start[1:] < start[:-1])]),
            "begins before the slot ahead of it: slots must be sorted",
        ),
        (np.concatenate([[False], same & (start[1:] < end[:-1])]), "overlaps the slot ahead of it"),
    )
    for wrong, what in checks:
        if wrong.any():
            slot = int(np.argmax(wrong))
            number = slot - int(slots.offsets[client[slot]])
            period = f" of {slots.period[client[slot]]:.10g} s" if "period" in what else ""
            raise InputError(
                f"{where}: client {names[client[slot]]}: slot {number}, [{start[slot]:.10g}, {end[slot]:.10g}), {what}{period}"
            )


def without_empty(slots: Slots) -> Slots:
    """The slots that last; the online seconds stay the same."""
    lasts = slots.end > slots.start
    client = np.repeat(np.arange(len(slots.period)), np.diff(slots.offsets))
    counts = np.bincount(client[lasts], minlength=len(slots.period))
    return of_counts(counts, slots.start[lasts], slots.end[lasts], slots.period)


def merged_slots(slots: Slots, gap_seconds: float) -> Slots:
    """The slots, those of a pattern joined where no more than ``gap_seconds`` lie between them (not across its border)."""
    if not len(slots.start):
        return slots
    pattern = np.repeat(np.arange(len(slots.period)), np.diff(slots.offsets))
    near = (pattern[1:] == pattern[:-1]) & (slots.start[1:] - slots.end[:-1] <= gap_seconds)
    first, last = np.concatenate([[True], ~near]), np.concatenate([~near, [True]])
    counts = np.bincount(pattern[first], minlength=len(slots.period))
    return of_counts(counts, slots.start[first], slots.end[last], slots.period)


def joined(parts: list[Slots]) -> Slots:
    """Patterns of several parts, one part after the other."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    start, end, period = (np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "end", "period"))
    return of_counts(counts, start, end, period)
