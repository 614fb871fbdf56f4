"""Availability by the hour: the shares come out as asked, hour by hour and on the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from mpifl.io.files import shipped
from mpifl.seeds import Purpose, generator
from mpifl.traces.diurnal import HOURS, STEP_SECONDS, Diurnal, _Day, share_by_the_hour
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import Slots, check_slots
from mpifl.traces.synthesis import read_recipe

PHONES = 60_000
DEVIATIONS = 5  # of the mean; with some 30 means a test that is the chance of 2e-5
NIGHT = [0.6 if hour < 6 or hour >= 22 else 0.0 for hour in range(HOURS)]
FLAT = [0.3] * HOURS


def charging() -> Diurnal:
    path = shipped("traces", "charging")
    assert path is not None
    availability = read_recipe(path).availability
    assert isinstance(availability, Diurnal)
    return availability


def made(**changes: Any) -> Diurnal:
    return Diurnal(**({"online_by_hour": FLAT, "stay_seconds": 7200, "period_days": [2]} | changes))


def drawn(diurnal: Diurnal, phones: int = PHONES, seed: int = 1) -> Slots:
    return diurnal.slots(phones, generator(seed, Purpose.TRACE))


def seconds_by_hour(slots: Slots) -> np.ndarray:
    """Seconds online of each phone in each hour of the day, (phones, 24), by hours of each day one after the other."""
    phones = len(slots.period)
    phone = np.repeat(np.arange(phones), np.diff(slots.offsets))
    total = np.zeros((phones, HOURS))
    for hour in range(int(slots.period.max() / 3600)):
        inside = np.clip(
            np.minimum(slots.end, hour * 3600 + 3600) - np.maximum(slots.start, hour * 3600),
            0,
            None,
        )
        total[:, hour % HOURS] += np.bincount(phone, inside, phones)
    return total


def check_shares(diurnal: Diurnal, asked: np.ndarray, phones: int = PHONES) -> None:
    """Every hour's mean and the mean of all lie within DEVIATIONS of their own standard errors."""
    slots = drawn(diurnal, phones)
    shares = seconds_by_hour(slots) / (slots.period[:, None] / HOURS)
    error = shares.std(axis=0) / np.sqrt(phones)
    assert (np.abs(shares.mean(axis=0) - asked) <= DEVIATIONS * error + 1e-9).all()
    assert error.max() < 0.01
    by_phone = shares.mean(axis=1)
    assert abs(by_phone.mean() - asked.mean()) <= DEVIATIONS * by_phone.std() / np.sqrt(phones)


def test_the_shipped_recipe_gives_the_hours_that_were_published() -> None:
    published = [.090, .098, .108, .116, .120, .119, .114, .101, .088, .081, .073, .065,
                 .063, .057, .057, .059, .065, .070, .077, .066, .059, .061, .071, .084]  # fmt: skip
    check_shares(charging(), np.array(published), phones=150_000)


@pytest.mark.parametrize(
    "by_hour",
    [NIGHT, FLAT, [0.95] * HOURS, [0.01] * 12 + [0.74] * 12],
    ids=["night", "flat", "high", "step"],
)
def test_other_days_come_out_as_asked_too(by_hour: list[float]) -> None:
    check_shares(made(online_by_hour=by_hour, stay_seconds=5000), np.array(by_hour), phones=20_000)


def test_an_hour_of_zero_has_nobody_in_it() -> None:
    seconds = seconds_by_hour(drawn(made(online_by_hour=NIGHT), phones=2000))
    assert seconds[:, 6:22].sum() == 0
    assert seconds[:, :6].sum() > 0


def test_time_zones_shift_the_day() -> None:
    zones = {0.0: 0.25, 8.0: 0.5, -3.5: 0.25}
    whole = made(online_by_hour=NIGHT, time_zones=zones)
    slots = drawn(whole, phones=30_000)
    share = seconds_by_hour(slots).sum(axis=0) / (slots.period.sum() / HOURS)
    night = np.array(NIGHT)
    # Local time is 3.5 hours behind: hour h is half of hour h - 4 and half of hour h - 3, but for the ramps of a step.
    behind = (np.roll(night, 4) + np.roll(night, 3)) / 2
    expected = 0.25 * night + 0.5 * np.roll(night, -8) + 0.25 * behind
    assert share == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("never", [0.0, 0.29, 0.6])
def test_a_share_is_never_online(never: float) -> None:
    slots = drawn(made(never_online=never), phones=5000)
    assert np.count_nonzero(np.diff(slots.offsets) == 0) == round(never * 5000)
    assert (slots.end - slots.start).sum() / slots.period.sum() == pytest.approx(0.3, abs=0.02)


def test_stays_and_gaps_are_as_long_as_they_must_be() -> None:
    """With a flat day both are exponential; the gap's mean is that of the stay times offline over online."""
    slots = drawn(made(period_days=[40], stay_seconds=7200), phones=500)
    phone = np.repeat(np.arange(500), np.diff(slots.offsets))
    inner = phone[1:] == phone[:-1]
    stays = (slots.end - slots.start)[1:][inner]
    gaps = (slots.start[1:] - slots.end[:-1])[inner]
    for lengths, mean in ((stays, 7200), (gaps, 7200 * 0.7 / 0.3)):
        assert lengths.mean() == pytest.approx(mean, rel=0.03)
        assert lengths.std() == pytest.approx(
            mean, rel=0.04
        )  # an exponential's deviation is its mean


@pytest.mark.parametrize(
    "diurnal",
    [charging(), made(), made(online_by_hour=NIGHT, time_zones={5.75: 1.0}, period_days=[1, 3])],
)
def test_patterns_are_ones_that_a_trace_may_have(diurnal: Diurnal) -> None:
    slots = drawn(diurnal, phones=3000)
    check_slots("test", range(3000), slots)
    assert (slots.end > slots.start).all()
    assert np.array_equal(slots.start, np.rint(slots.start))
    assert set(slots.period / DAY_SECONDS) == set(diurnal.period_days)


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    one, two, other = drawn(made(), 1000), drawn(made(), 1000), drawn(made(), 1000, seed=2)
    assert np.array_equal(one.start, two.start)
    assert np.array_equal(one.offsets, two.offsets)
    assert not np.array_equal(one.offsets, other.offsets)


# The share over the day, and what keeps it


shares = arrays.arrays(np.float64, HOURS, elements=st.floats(0, 1, width=32))


@given(shares)
def test_the_mean_of_each_hour_is_exactly_the_one_asked_for(by_hour: np.ndarray) -> None:
    assume((np.abs(by_hour - np.roll(by_hour, 1)) <= 0.75).all())
    seconds, share = share_by_the_hour(by_hour)
    assert share.min() >= 0
    assert share.max() <= 1
    assert share[0] == share[-1]
    fine = np.linspace(0, DAY_SECONDS, HOURS * 240 + 1)
    values = np.interp(fine, seconds, share)
    means = ((values[1:] + values[:-1]) / 2).reshape(HOURS, 240).mean(axis=1)
    assert means == pytest.approx(by_hour, abs=1e-12)


@pytest.mark.parametrize(
    "diurnal",
    [
        charging(),
        made(),
        made(online_by_hour=NIGHT),
        made(online_by_hour=[0.01] * 12 + [0.74] * 12),
    ],
)
def test_the_hazards_keep_the_share(diurnal: Diurnal) -> None:
    """The chain's own equation, solved step by step with the rates of each step, follows the share all day."""
    day = _Day.of(diurnal)
    online, found = day.share[0], []
    for leaving, coming in zip(np.diff(day.leaving), np.diff(day.coming), strict=True):
        settled = coming / (coming + leaving)
        online = settled + (online - settled) * np.exp(-(coming + leaving))
        found.append(online)
    assert len(found) == DAY_SECONDS / STEP_SECONDS
    assert np.array(found) == pytest.approx(day.share[1:], abs=1e-4)


# What is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"online_by_hour": [0.1] * 23}, "online_by_hour"),
        ({"online_by_hour": [1.1] * 24}, "1.1"),
        ({"online_by_hour": [-0.1] * 24}, "-0.1"),
        ({"online_by_hour": [0.8] * 24, "never_online": 0.2}, "hour 0: 0.8"),
        ({"online_by_hour": [0.0] * 24}, "nobody"),
        (
            {"online_by_hour": [0.2] + [0.0] * 11 + [0.9] * 12},
            "from 0 to 0.9 of those ever online at hour 12",
        ),
        ({"online_by_hour": [float("nan")] * 24}, "online_by_hour"),
        ({"stay_seconds": 0}, "stay_seconds"),
        ({"never_online": 1}, "never_online"),
        ({"time_zones": {0: 0.5}}, "add up to 0.5"),
        ({"time_zones": {25: 1}}, "time zones"),
        ({"time_zones": {}}, "time_zones"),
        ({"time_zones": {0: 1.5, 1: -0.5}}, "time zones"),
        ({"period_days": []}, "period_days"),
        ({"period_days": [0]}, "period_days"),
    ],
    ids=str,
)
def test_wrong_days_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        made(**changes)
    assert said in str(caught.value)
