"""Availability by the hour of the day, such as of phones that charge at night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field, PositiveInt, field_validator, model_validator

from mpifl.job.section import Section
from mpifl.traces.distributions import check_shares
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import Slots, joined, of_counts

HOURS = 24
# In the first and the last quarter of an hour the share online moves; in between it is constant.
RAMP = 0.25
# Of the tables of hazards. The ends of the ramps lie on it; shares are then right to 1e-4.
STEP_SECONDS = 10.0
# Of phones online or offline: where a share falls to 0 the hazard of leaving would be infinite.
LEAST_SHARE = 1e-9
BATCH_PHONES = 1 << 17


class Diurnal(Section):
    """Phones come and go at random, so that a given share of them is online at each local hour.

    A phone is a Markov chain of two states. It goes offline at the rate 1 / stay_seconds, or faster
    where the share online falls faster than that. It comes online at the rate that keeps the share:
    with p online of those that ever are, p' = coming (1 - p) - leaving p.
    """

    online_by_hour: list[float] = Field(min_length=HOURS, max_length=HOURS)
    stay_seconds: float = Field(gt=0)
    never_online: float = Field(0.0, ge=0, lt=1)
    time_zones: dict[float, float] = Field(default_factory=lambda: {0.0: 1.0}, min_length=1)
    period_days: list[PositiveInt] = Field(min_length=1)

    @field_validator("time_zones")
    @classmethod
    def _check_zones(cls, zones: dict[float, float]) -> dict[float, float]:
        too_far = any(not -24 <= hours <= 24 for hours in zones)
        if too_far or any(share <= 0 for share in zones.values()):
            raise ValueError("time zones are {hours ahead, -24 to 24: share above 0}")
        check_shares(list(zones.values()))
        return zones

    @model_validator(mode="after")
    def _check(self) -> Diurnal:
        ever = 1 - self.never_online
        for hour, share in enumerate(self.online_by_hour):
            if not 0 <= share < ever:
                raise ValueError(
                    f"online_by_hour: hour {hour}: {share:g};"
                    f" must be from 0 to below 1 - never_online = {ever:g}"
                )
        if not any(self.online_by_hour):
            raise ValueError("online_by_hour: nobody is ever online; one hour must be above 0")
        share_by_the_hour(np.array(self.online_by_hour) / ever)
        return self

    def slots_a_phone(self) -> float:
        """Return about how many slots a phone gets.

        The phones online at each hour leave at the rate 1 / stay_seconds, or a little faster.
        """
        share = np.mean(self.online_by_hour) / (1 - self.never_online)
        return float(max(self.period_days) * (DAY_SECONDS * share / self.stay_seconds + HOURS))

    def slots(self, phones: int, random: np.random.Generator) -> Slots:
        """Return the patterns of ``phones`` phones in whole seconds.

        Second 0 is midnight in the time zone 0.
        """
        day = _Day.of(self)
        zones = np.array(list(self.time_zones))
        borders = np.cumsum(list(self.time_zones.values()))
        drawn = np.searchsorted(borders, random.random(phones), side="right")
        ahead = zones[np.minimum(drawn, len(zones) - 1)] * 3600

        days = np.array(self.period_days)
        period = DAY_SECONDS * days[random.integers(len(days), size=phones)]
        ever = random.permutation(phones) >= round(self.never_online * phones)

        parts = []
        for low in range(0, phones, BATCH_PHONES):
            batch = slice(low, low + BATCH_PHONES)
            parts.append(_batch(day, ahead[batch], period[batch], ever[batch], random))
        return joined(parts)


def share_by_the_hour(by_hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share online over a day, as seconds and shares of points joined by lines.

    The mean of the lines in hour h is by_hour[h] (24,). In hour h the share is constant at c[h]; in
    the RAMP before and after each full hour h it moves through b[h]:
    (1 - RAMP) c[h] + RAMP (b[h] + b[h + 1]) / 2 = by_hour[h]. b[h] is the value nearest to the mean
    of the two hours beside it for which c is from 0 to 1. Raises ValueError where there is none.
    """
    before = np.roll(by_hour, 1)
    low = np.maximum(0, np.maximum(1 - (1 - by_hour) / RAMP, 1 - (1 - before) / RAMP))
    high = np.minimum(1, np.minimum(by_hour, before) / RAMP)
    if (low > high).any():
        hour = int(np.argmax(low > high))
        raise ValueError(
            f"online_by_hour: from {before[hour]:g} to {by_hour[hour]:g} of those ever online at"
            f" hour {hour}; a step must not be above {1 - RAMP:g}"
        )

    border = np.clip((by_hour + before) / 2, low, high)
    constant = (by_hour - RAMP * (border + np.roll(border, -1)) / 2) / (1 - RAMP)
    hours = np.arange(HOURS)
    seconds = 3600 * np.stack([hours, hours + RAMP, hours + 1 - RAMP], axis=1)
    shares = np.stack([border, constant, constant], axis=1)
    return np.append(seconds, DAY_SECONDS), np.clip(np.append(shares, border[0]), 0, 1)


@dataclass(frozen=True)
class _Day:
    """The share online of the phones that ever are, over a day in steps of STEP_SECONDS.

    ``leaving`` and ``coming`` are the hazards of leaving and coming, summed up since midnight.
    """

    seconds: np.ndarray
    share: np.ndarray
    leaving: np.ndarray
    coming: np.ndarray

    @classmethod
    def of(cls, diurnal: Diurnal) -> _Day:
        by_hour = np.array(diurnal.online_by_hour) / (1 - diurnal.never_online)
        knots, shares = share_by_the_hour(by_hour)
        seconds = np.arange(0, DAY_SECONDS + STEP_SECONDS / 2, STEP_SECONDS)
        share = np.interp(seconds, knots, shares)
        online = np.maximum(share, LEAST_SHARE)
        offline = np.maximum(1 - share, LEAST_SHARE)

        # Where the share falls in a step, online' = -leaving online; phones leave at least at the
        # usual rate. Those who come make up the slope of the step and replace those who leave.
        rate = 1 / diurnal.stay_seconds
        leaving = np.maximum(rate * STEP_SECONDS, np.log(online[:-1] / online[1:]))
        slope = np.diff(share) / STEP_SECONDS
        begin = slice(None, -1)
        end = slice(1, None)
        at_begin = np.maximum(0, (slope + rate * share[begin]) / offline[begin])
        at_end = np.maximum(0, (slope + rate * share[end]) / offline[end])
        coming = STEP_SECONDS * (at_begin + at_end) / 2
        return cls(
            seconds, share, np.append(0, np.cumsum(leaving)), np.append(0, np.cumsum(coming))
        )

    def online(self, now: np.ndarray) -> np.ndarray:
        """Return the share online at ``now`` (seconds)."""
        return np.interp(now % DAY_SECONDS, self.seconds, self.share)

    def after(self, hazard: np.ndarray, now: np.ndarray, more: np.ndarray) -> np.ndarray:
        """Return the time (seconds) at which ``hazard`` has grown by ``more`` since ``now``."""
        a_day = hazard[-1]
        today = np.interp(now % DAY_SECONDS, self.seconds, hazard)
        total = now // DAY_SECONDS * a_day + today + more
        days = np.floor(total / a_day)
        return days * DAY_SECONDS + np.interp(total - days * a_day, hazard, self.seconds)


def _batch(
    day: _Day, ahead: np.ndarray, period: np.ndarray, ever: np.ndarray, random: np.random.Generator
) -> Slots:
    """Return the patterns of phones whose local time is ``ahead`` (phones,) seconds ahead.

    Each phone begins at a random second of its period, runs for one period, and is then rotated.
    Where the end meets the beginning they do not match; this second differs from phone to phone.
    """
    begin = np.floor(random.random(len(period)) * period)
    online = random.random(len(period)) < day.online(begin)
    phone = np.flatnonzero(ever)
    now = begin[phone]
    away = ~online[phone]
    now[away] = day.after(day.coming, now[away], random.standard_exponential(int(away.sum())))

    slots = []
    while True:
        running = now < begin[phone] + period[phone]
        phone = phone[running]
        now = now[running]
        if not len(phone):
            break
        leaves = day.after(day.leaving, now, random.standard_exponential(len(phone)))
        end = np.minimum(leaves, begin[phone] + period[phone])
        slots.append((phone, np.rint(now), np.rint(end)))
        now = day.after(day.coming, leaves, random.standard_exponential(len(phone)))

    if not slots:
        return _rotated(np.zeros(0, int), np.zeros(0), np.zeros(0), period)
    phone, start, end = (np.concatenate(column) for column in zip(*slots, strict=True))
    shift = np.rint(ahead[phone])
    return _rotated(phone, start - shift, end - shift, period)


def _rotated(phone: np.ndarray, start: np.ndarray, end: np.ndarray, period: np.ndarray) -> Slots:
    """Return slots at any time as sorted slots inside the period; cut at its end if needed."""
    turn = np.floor(start / period[phone]) * period[phone]
    start = start - turn
    end = end - turn

    # The part of a slot that lies behind the period's end becomes a slot at its beginning.
    limit = period[phone]
    over = end > limit
    phone = np.concatenate([phone, phone[over]])
    start = np.concatenate([start, np.zeros(over.sum())])
    end = np.concatenate([np.minimum(end, limit), (end - limit)[over]])

    lasts = end > start
    phone = phone[lasts]
    start = start[lasts]
    end = end[lasts]
    order = np.lexsort((start, phone))
    counts = np.bincount(phone, minlength=len(period))
    return of_counts(counts, start[order], end[order], period)
