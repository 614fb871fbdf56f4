"""Availability by the hour of the day: who charges at night is online at night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field, PositiveInt, field_validator, model_validator

from mpifl.job.section import Section
from mpifl.traces.distributions import check_shares
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import Slots, joined, of_counts

HOURS = 24
RAMP = 0.25  # of an hour: before and behind each turn of the hour the share moves, in between it stands still
STEP_SECONDS = 10.0  # of the tables of hazards; the ramps' ends lie on it. Shares then come out to 1e-4
LEAST_SHARE = 1e-9  # of phones online or offline: where a share falls to 0 the hazard of leaving would be infinite
BATCH_PHONES = 1 << 17


class Diurnal(Section):
    """Phones come and go at random so that at each hour of the local day a given share of all phones is online.

    A phone is a Markov chain of two states. It leaves at the rate 1 / stay_seconds, or faster where the share falls faster than
    that; it comes at the rate that keeps the share: with p online of those who ever are, p' = coming (1 - p) - leaving p.
    """

    online_by_hour: list[float] = Field(min_length=HOURS, max_length=HOURS)
    stay_seconds: float = Field(gt=0)
    never_online: float = Field(0.0, ge=0, lt=1)
    time_zones: dict[float, float] = Field(default_factory=lambda: {0.0: 1.0}, min_length=1)
    period_days: list[PositiveInt] = Field(min_length=1)

    @field_validator("time_zones")
    @classmethod
    def _check_zones(cls, zones: dict[float, float]) -> dict[float, float]:
        if any(not -24 <= hours <= 24 for hours in zones) or any(share <= 0 for share in zones.values()):
            raise ValueError("time zones are {hours ahead, -24 to 24: share above 0}")
        check_shares(list(zones.values()))
        return zones

    @model_validator(mode="after")
    def _check(self) -> Diurnal:
        ever = 1 - self.never_online
        for hour, share in enumerate(self.online_by_hour):
            if not 0 <= share < ever:
                raise ValueError(f"online_by_hour: hour {hour}: {share:g}; must be from 0 to below 1 - never_online = {ever:g}")
        if not any(self.online_by_hour):
            raise ValueError("online_by_hour: nobody is ever online; one hour must be above 0")
        share_by_the_hour(np.array(self.online_by_hour) / ever)
        return self

    def slots_a_phone(self) -> float:
        """About how many slots a phone gets: each hour's share leaves at the rate 1 / stay_seconds, or a little faster."""
        share = np.mean(self.online_by_hour) / (1 - self.never_online)
        return float(max(self.period_days) * (DAY_SECONDS * share / self.stay_seconds + HOURS))

    def slots(self, phones: int, random: np.random.Generator) -> Slots:
        """Patterns of ``phones`` phones in whole seconds; second 0 is midnight where the time zone is 0."""
        day = _Day.of(self)
        zones = list(self.time_zones)
        borders = np.cumsum(list(self.time_zones.values()))
        zone = np.array(zones)[np.minimum(np.searchsorted(borders, random.random(phones), side="right"), len(zones) - 1)]
        period = DAY_SECONDS * np.array(self.period_days)[random.integers(len(self.period_days), size=phones)]
        ever = random.permutation(phones) >= round(self.never_online * phones)
        batches = [slice(low, low + BATCH_PHONES) for low in range(0, phones, BATCH_PHONES)]
        return joined([_batch(day, zone[part] * 3600, period[part], ever[part], random) for part in batches])


def share_by_the_hour(by_hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share online over a day as (seconds, shares) of points joined by lines, whose mean in hour h is by_hour[h] (24,).

    In hour h it stands at c[h], and moves in the RAMP before and behind each turn of the hour through b[h] at hour h:
    (1 - RAMP) c[h] + RAMP (b[h] + b[h + 1]) / 2 = by_hour[h]. b lies as near to the mean of the hours beside it as keeps c from
    0 to 1. Raises ValueError where no b does.
    """
    before = np.roll(by_hour, 1)
    low = np.maximum(0, np.maximum(1 - (1 - by_hour) / RAMP, 1 - (1 - before) / RAMP))
    high = np.minimum(1, np.minimum(by_hour, before) / RAMP)
    if (low > high).any():
        hour = int(np.argmax(low > high))
        raise ValueError(
            f"online_by_hour: from {before[hour]:g} to {by_hour[hour]:g} of those ever online at hour {hour}; "
            f"a step must not be above {1 - RAMP:g}"
        )
    border = np.clip((by_hour + before) / 2, low, high)
    still = (by_hour - RAMP * (border + np.roll(border, -1)) / 2) / (1 - RAMP)
    hours = np.arange(HOURS)
    seconds = 3600 * np.stack([hours, hours + RAMP, hours + 1 - RAMP], axis=1)
    shares = np.stack([border, still, still], axis=1)
    return np.append(seconds, DAY_SECONDS), np.clip(np.append(shares, border[0]), 0, 1)


@dataclass(frozen=True)
class _Day:
    """The share online of those who ever are, and the hazards of leaving and coming summed up since midnight."""

    seconds: np.ndarray
    share: np.ndarray
    leaving: np.ndarray
    coming: np.ndarray

    @classmethod
    def of(cls, diurnal: Diurnal) -> _Day:
        knots, shares = share_by_the_hour(np.array(diurnal.online_by_hour) / (1 - diurnal.never_online))
        seconds = np.arange(0, DAY_SECONDS + STEP_SECONDS / 2, STEP_SECONDS)
        share = np.interp(seconds, knots, shares)
        online, offline = np.maximum(share, LEAST_SHARE), np.maximum(1 - share, LEAST_SHARE)
        rate = 1 / diurnal.stay_seconds
        # Over a step the share falls as online' = -leaving online; or it is kept up, at the slope that it has in the step.
        leaving = np.maximum(rate * STEP_SECONDS, np.log(online[:-1] / online[1:]))
        slope = np.diff(share) / STEP_SECONDS
        kept = [np.maximum(0, (slope + rate * share[side]) / offline[side]) for side in (slice(None, -1), slice(1, None))]
        coming = STEP_SECONDS * (kept[0] + kept[1]) / 2
        return cls(seconds, share, np.append(0, np.cumsum(leaving)), np.append(0, np.cumsum(coming)))

    def online(self, now: np.ndarray) -> np.ndarray:
        return np.interp(now % DAY_SECONDS, self.seconds, self.share)

    def after(self, hazard: np.ndarray, now: np.ndarray, more: np.ndarray) -> np.ndarray:
        """The moment at which as much as ``more`` of a hazard has been added since ``now``."""
        whole = hazard[-1]
        total = now // DAY_SECONDS * whole + np.interp(now % DAY_SECONDS, self.seconds, hazard) + more
        days = np.floor(total / whole)
        return days * DAY_SECONDS + np.interp(total - days * whole, hazard, self.seconds)


def _batch(day: _Day, ahead: np.ndarray, period: np.ndarray, ever: np.ndarray, random: np.random.Generator) -> Slots:
    """Patterns of phones whose local time is ``ahead`` seconds ahead.

    Each phone begins at a second of its own, goes through one period, and is then turned about, so that the cut where the end
    does not know of the beginning lies elsewhere for each.
    """
    begin = np.floor(random.random(len(period)) * period)
    online = random.random(len(period)) < day.online(begin)
    phone = np.flatnonzero(ever)
    now = begin[phone]
    away = ~online[phone]
    now[away] = day.after(day.coming, now[away], random.standard_exponential(int(away.sum())))
    slots = []
    while True:
        here = now < begin[phone] + period[phone]
        phone, now = phone[here], now[here]
        if not len(phone):
            break
        leaves = day.after(day.leaving, now, random.standard_exponential(len(phone)))
        slots.append((phone, np.rint(now), np.rint(np.minimum(leaves, begin[phone] + period[phone]))))
        now = day.after(day.coming, leaves, random.standard_exponential(len(phone)))
    phone, start, end = (np.concatenate(part) for part in zip(*slots, strict=True)) if slots else (np.zeros(0, int),) * 3
    return _turned(phone, start - np.rint(ahead[phone]), end - np.rint(ahead[phone]), period)


def _turned(phone: np.ndarray, start: np.ndarray, end: np.ndarray, period: np.ndarray) -> Slots:
    """Slots anywhere in time as sorted slots of the period; one that goes on behind the period's end is cut in two."""
    turn = np.floor(start / period[phone]) * period[phone]
    start, end = start - turn, end - turn
    whole = period[phone]
    over = end > whole
    phone = np.concatenate([phone, phone[over]])
    start, end = np.concatenate([start, np.zeros(over.sum())]), np.concatenate([np.minimum(end, whole), (end - whole)[over]])
    lasts = end > start
    phone, start, end = phone[lasts], start[lasts], end[lasts]
    order = np.lexsort((start, phone))
    return of_counts(np.bincount(phone, minlength=len(period)), start[order], end[order], period)
