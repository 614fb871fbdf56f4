"""Availability whose slots and gaps alternate, each drawn from quantiles, at any hour."""

from __future__ import annotations

import numpy as np
from pydantic import Field, PositiveInt

from mpifl.job.quantiles import Quantiles
from mpifl.job.section import Section
from mpifl.traces.slots import Slots, of_counts

DAY_SECONDS = 86_400.0


class OnOff(Section):
    """Slots and gaps alternate from a random moment until a whole number of days is full."""

    slot_seconds: Quantiles
    gap_seconds: Quantiles
    period_days: list[PositiveInt] = Field(min_length=1)

    def slots_a_phone(self) -> float:
        """Return about how many slots a phone gets."""
        at = np.linspace(0, 1, 1001)
        turn = self._slot(at) + self._gap(at)
        return float(max(self.period_days) * DAY_SECONDS / turn.mean())

    def slots(self, phones: int, random: np.random.Generator) -> Slots:
        """Return the patterns of ``phones`` phones, in whole seconds.

        A phone's period is one of ``period_days``, all equally likely. Its first slot begins up to
        a period before second 0, so that it is as likely in a slot then as at any other moment. All
        phones draw their n-th slot together, then their n-th gap: those whose period is not full.
        """
        days = np.array(self.period_days)[random.integers(len(self.period_days), size=phones)]
        period = days * DAY_SECONDS
        phone = np.arange(phones)
        now = np.ceil(-random.random(phones) * period)

        columns = []
        while len(phone):
            end_of_slot = now + self._slot(random.random(len(phone)))
            start = np.maximum(now, 0.0) + 0.0  # no negative zero
            end = np.minimum(end_of_slot, period[phone])
            lasts = end > start
            columns.append((phone[lasts], start[lasts], end[lasts]))

            now = end_of_slot + self._gap(random.random(len(phone)))
            goes_on = now < period[phone]
            phone = phone[goes_on]
            now = now[goes_on]

        of_phone, start, end = (np.concatenate(column) for column in zip(*columns, strict=True))
        order = np.argsort(of_phone, kind="stable")  # of a phone they are in order already
        counts = np.bincount(of_phone, minlength=phones)
        return of_counts(counts, start[order], end[order], period)

    def _slot(self, at: np.ndarray) -> np.ndarray:
        """Return seconds of slots, from uniform numbers."""
        return np.minimum(self._longest, np.ceil(self.slot_seconds.at(at)))

    def _gap(self, at: np.ndarray) -> np.ndarray:
        """Return seconds of gaps, from uniform numbers. Slots must not touch: 1 s or more."""
        return np.clip(np.ceil(self.gap_seconds.at(at)), 1.0, self._longest)

    @property
    def _longest(self) -> float:
        """Return what ends any phone's turns; sums of seconds stay exact with it."""
        return 2 * DAY_SECONDS * max(self.period_days)
