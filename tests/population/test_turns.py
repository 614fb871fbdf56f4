"""Slots and gaps that take turns: the draws in blocks against single calls, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.job.quantiles import Quantiles
from mpifl.seeds import Purpose, generator
from mpifl.traces.on_off import DAY_SECONDS, OnOff


def plainly(turns: OnOff, phones: int, random: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """The definition: for each phone its calls to the generator, and slots (n, 2) with the period."""
    patterns = []
    for _ in range(phones):
        period = DAY_SECONDS * turns.period_days[int(random.integers(len(turns.period_days)))]
        now, slots = -float(random.random()) * period, []
        while now < period:
            slot = np.ceil(turns.slot_seconds.at(random.random(1))[0])
            gap = np.ceil(turns.gap_seconds.at(random.random(1))[0])
            start, end = max(0.0, np.ceil(now)), min(period, np.ceil(now) + slot)
            if end > start:
                slots.append((start, end))
            now = np.ceil(now) + slot + max(1.0, gap)
        patterns.append((np.array(slots).reshape(-1, 2), period))
    return patterns


def quantiles(values: dict[float, float], scale: Any = "linear") -> Quantiles:
    return Quantiles(quantiles=values, scale=scale)


MINUTES = {"slot_seconds": quantiles({0: 1, 50: 342, 100: 4e5}, "log"), "gap_seconds": quantiles({0: 1, 100: 2e5}, "log")}
SECONDS = {"slot_seconds": quantiles({0: 0, 100: 9}), "gap_seconds": quantiles({0: 0, 100: 9})}
AGES = {
    "slot_seconds": quantiles({0: 1, 90: 300, 100: 1e15}, "log"),
    "gap_seconds": quantiles({0: 1, 90: 300, 100: 1e15}, "log"),
}
DAYS = {"slot_seconds": quantiles({0: 4e5, 100: 4e6}), "gap_seconds": quantiles({0: 1, 100: 4e5})}


@pytest.mark.parametrize(
    ("lengths", "days", "phones"),
    [
        (MINUTES, [6, 6, 7, 7, 8, 8, 9, 10], 300),
        (MINUTES, [6], 60),
        (MINUTES, [5, 6, 7], 100),
        (SECONDS, [1, 2, 1, 2, 1], 3),  # more draws a phone than are taken ahead for it
        (AGES, [1, 3], 500),  # too long to be added up exactly
        (DAYS, [1, 3], 500),  # phones that are never online, and such that are online throughout
    ],
    ids=["published", "one period", "three periods", "short", "ages", "long"],
)
def test_blocks_draw_what_single_calls_would(lengths: dict[str, Quantiles], days: list[int], phones: int) -> None:
    turns = OnOff(**lengths, period_days=days)
    one, other = (generator(7, Purpose.TRACE) for _ in range(2))
    found, patterns = turns.slots(phones, one), plainly(turns, phones, other)
    assert np.array_equal(np.diff(found.offsets), [len(slots) for slots, _ in patterns])
    assert np.array_equal(np.stack([found.start, found.end], axis=1), np.concatenate([slots for slots, _ in patterns]))
    assert np.array_equal(found.period, [period for _, period in patterns])
    assert np.array_equal(one.random(5), other.random(5))  # and the generator stands where it would
    assert not np.signbit(found.start).any()


@pytest.mark.parametrize("words", [16, 130, 1000])
def test_where_a_block_ends_changes_nothing(monkeypatch: pytest.MonkeyPatch, words: int) -> None:
    """Blocks that end in the midst of phones, or before one has all its draws."""
    turns = OnOff(**MINUTES, period_days=[5, 6, 7])
    whole = turns.slots(60, generator(3, Purpose.TRACE))
    monkeypatch.setattr("mpifl.traces.on_off.BLOCK_WORDS", words)
    random, other = (generator(3, Purpose.TRACE) for _ in range(2))
    pieces = turns.slots(60, random)
    assert np.array_equal(pieces.start, whole.start)
    assert np.array_equal(pieces.offsets, whole.offsets)
    turns.slots(60, other)
    assert np.array_equal(random.random(3), other.random(3))
