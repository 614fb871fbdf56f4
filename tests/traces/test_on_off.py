"""Slots and gaps that alternate: the definition phone by phone, and what the quantiles say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpifl.job.quantiles import Quantiles
from mpifl.seeds import Purpose, generator
from mpifl.traces.on_off import DAY_SECONDS, OnOff


def plainly(
    recipe: OnOff, phones: int, random: np.random.Generator
) -> list[tuple[np.ndarray, float]]:
    """The definition: slots (n, 2) and period of each phone, with its draws in the order in which all phones draw."""
    days = [recipe.period_days[i] for i in random.integers(len(recipe.period_days), size=phones)]
    period = [DAY_SECONDS * count for count in days]
    now = [float(np.ceil(-share * period[i])) for i, share in enumerate(random.random(phones))]
    slots: list[list[tuple[float, float]]] = [[] for _ in range(phones)]
    going = list(range(phones))
    while going:
        drawn = [
            [float(np.ceil(table.at(np.array([u]))[0])) for u in random.random(len(going))]
            for table in (recipe.slot_seconds, recipe.gap_seconds)
        ]
        for i, slot, gap in zip(going, *drawn, strict=True):
            start, end = max(0.0, now[i]), min(period[i], now[i] + slot)
            if end > start:
                slots[i].append((start, end))
            now[i] += slot + max(1.0, gap)
        going = [i for i in going if now[i] < period[i]]
    return [(np.array(own).reshape(-1, 2), whole) for own, whole in zip(slots, period, strict=True)]


def quantiles(values: dict[float, float], scale: Any = "linear") -> Quantiles:
    return Quantiles(quantiles=values, scale=scale)


MINUTES = {
    "slot_seconds": quantiles({0: 1, 50: 342, 100: 4e5}, "log"),
    "gap_seconds": quantiles({0: 1, 100: 2e5}, "log"),
}
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
        (SECONDS, [1, 2, 1, 2, 1], 3),  # thousands of slots a phone
        (AGES, [1, 3], 500),  # too long to be added up exactly
        (DAYS, [1, 3], 500),  # phones that are never online, and such that are online throughout
    ],
    ids=["published", "one period", "three periods", "short", "ages", "long"],
)
def test_patterns_are_the_definition(
    lengths: dict[str, Quantiles], days: list[int], phones: int
) -> None:
    recipe = OnOff(**lengths, period_days=days)
    found = recipe.slots(phones, generator(7, Purpose.TRACE))
    patterns = plainly(recipe, phones, generator(7, Purpose.TRACE))
    assert np.array_equal(np.diff(found.offsets), [len(slots) for slots, _ in patterns])
    assert np.array_equal(
        np.stack([found.start, found.end], axis=1), np.concatenate([slots for slots, _ in patterns])
    )
    assert np.array_equal(found.period, [period for _, period in patterns])
    assert not np.signbit(found.start).any()


def test_lengths_and_the_share_online_are_those_of_the_quantiles() -> None:
    recipe = OnOff(
        slot_seconds=quantiles({0: 600, 100: 1800}),
        gap_seconds=quantiles({0: 1200, 100: 3600}),
        period_days=[2],
    )
    found = recipe.slots(2000, generator(1, Purpose.TRACE))
    lengths = found.end - found.start
    whole = (found.start > 0) & (found.end < 2 * DAY_SECONDS)
    assert lengths[whole].mean() == pytest.approx(1200, rel=0.01)
    assert np.quantile(lengths[whole], [0.25, 0.75]) == pytest.approx([900, 1500], rel=0.02)
    for hour in (0, 7, 24, 47):  # at any moment: the share of its turns that a phone is in a slot
        moment = 3600.0 * hour + 1
        online = ((found.start <= moment) & (moment < found.end)).sum() / 2000
        assert online == pytest.approx(1 / 3, abs=0.04)
