"""Availability patterns by themselves, as a recipe or an importer makes them for a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpifl.errors import InputError


@dataclass(frozen=True)
class Slots:
    """Patterns as in ``Trace``: pattern k is online during slots offsets[k] to offsets[k + 1].

    Slot i is the time [start[i], end[i]). ``offsets`` is (patterns + 1,) int64; ``start`` and
    ``end`` (slots,) and ``period`` (patterns,) are float64 seconds.
    """

    offsets: np.ndarray
    start: np.ndarray
    end: np.ndarray
    period: np.ndarray


def of_counts(counts: np.ndarray, start: np.ndarray, end: np.ndarray, period: np.ndarray) -> Slots:
    """Return the slots of consecutive patterns; pattern k has ``counts[k]`` of the slots."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Slots(
        offsets, start.astype(np.float64), end.astype(np.float64), period.astype(np.float64)
    )


def check_slots(source: Path | str, names: Sequence[object], slots: Slots) -> None:
    """Raise InputError for slots that no trace may have.

    The error names the source, the client (by ``names``, one for each pattern) and the value.
    Refused are: no slot at all; a period that is not above 0; slots that are not finite, run
    backwards, leave the period, are not sorted or overlap. Empty slots pass: ``without_empty``
    drops them.
    """
    client = np.repeat(np.arange(len(slots.period)), np.diff(slots.offsets))
    wrong = ~(np.isfinite(slots.period) & (slots.period > 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{source}: client {names[first]}: period {slots.period[first]:g} s;"
            " must be finite and above 0"
        )
    if not len(slots.start):
        raise InputError(f"{source}: no client is ever online; a trace needs one slot or more")

    start = slots.start
    end = slots.end
    same = client[1:] == client[:-1]
    unsorted = np.concatenate([[False], same & (start[1:] < start[:-1])])
    overlapping = np.concatenate([[False], same & (start[1:] < end[:-1])])
    checks = (
        (~(np.isfinite(start) & np.isfinite(end)), "is not finite"),
        (start < 0, "begins before 0"),
        (end < start, "runs backwards"),
        (end > slots.period[client], "ends after the period"),
        (unsorted, "begins before the slot ahead of it: slots must be sorted"),
        (overlapping, "overlaps the slot ahead of it"),
    )
    for wrong, problem in checks:
        if wrong.any():
            slot = int(np.argmax(wrong))
            number = slot - int(slots.offsets[client[slot]])
            period = f" of {slots.period[client[slot]]:.10g} s" if "period" in problem else ""
            raise InputError(
                f"{source}: client {names[client[slot]]}: slot {number},"
                f" [{start[slot]:.10g}, {end[slot]:.10g}), {problem}{period}"
            )


def without_empty(slots: Slots) -> Slots:
    """Return the slots without empty ones; the online seconds stay the same."""
    lasts = slots.end > slots.start
    client = np.repeat(np.arange(len(slots.period)), np.diff(slots.offsets))
    counts = np.bincount(client[lasts], minlength=len(slots.period))
    return of_counts(counts, slots.start[lasts], slots.end[lasts], slots.period)


def merged_slots(slots: Slots, gap_seconds: float) -> Slots:
    """Return the slots, those of a pattern merged where the gap is at most ``gap_seconds``.

    Slots are not merged across the end of the period.
    """
    if not len(slots.start):
        return slots

    pattern = np.repeat(np.arange(len(slots.period)), np.diff(slots.offsets))
    same = pattern[1:] == pattern[:-1]
    near = same & (slots.start[1:] - slots.end[:-1] <= gap_seconds)
    first = np.concatenate([[True], ~near])
    last = np.concatenate([~near, [True]])
    counts = np.bincount(pattern[first], minlength=len(slots.period))
    return of_counts(counts, slots.start[first], slots.end[last], slots.period)


def slots_from(slots: Slots, seconds: float) -> Slots:
    """Return the slots as they are from ``seconds`` (>= 0) on: that moment is their second 0.

    A slot that holds that moment of the period becomes two, at the beginning and at the end of the
    period. Slots that touch still do, to the bit.
    """
    counts = np.diff(slots.offsets)
    pattern = np.repeat(np.arange(len(slots.period)), counts)
    period = slots.period[pattern]
    now = np.mod(seconds, slots.period)[pattern]

    # Slots that begin by then come a period later; the rest of one that is under way comes first.
    before = slots.start < now
    start = np.where(before, period + (slots.start - now), slots.start - now)
    end = np.where(slots.end <= now, period + (slots.end - now), slots.end - now)
    under_way = before & (slots.end > now)

    # Each pattern's new slots: the rest of one (if any), those from then on, those before.
    rests = np.bincount(pattern[under_way], minlength=len(counts))
    passed = np.bincount(pattern[before], minlength=len(counts))
    begin = np.concatenate([[0], np.cumsum(counts + rests)])[:-1]
    turn = np.where(before, counts[pattern], 0) - passed[pattern] + rests[pattern]
    place = begin[pattern] + np.arange(len(pattern)) - slots.offsets[pattern] + turn

    new_start = np.zeros(len(pattern) + int(rests.sum()))
    new_end = np.empty_like(new_start)
    new_start[place] = start
    new_end[place] = np.where(under_way, period, end)
    new_end[begin[pattern[under_way]]] = end[under_way]
    return without_empty(of_counts(counts + rests, new_start, new_end, slots.period))


def joined(parts: list[Slots]) -> Slots:
    """Return the patterns of several parts, one part after the other."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    start = np.concatenate([part.start for part in parts])
    end = np.concatenate([part.end for part in parts])
    period = np.concatenate([part.period for part in parts])
    return of_counts(counts, start, end, period)
