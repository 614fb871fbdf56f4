"""Figures of traces: by hand, and against a walk over every second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.summary import HOURS, PER_CENT, curve_means, summarise
from mpifl.traces.trace import Trace

HOUR, DAY = 3600, 86_400


def test_a_trace_by_hand(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace(
        [
            [(0, HOUR), (HOUR, 2 * HOUR), (5 * HOUR, 5.5 * HOUR)],
            [],
            [(0, DAY)],
            [(0, HOUR), (20 * HOUR, DAY)],
        ],
        period=DAY,
        compute_ms_per_sample=[1, 2, 3, 4, 5],
        download_kbps=[10] * 5,
        upload_kbps=[20] * 5,
    )
    found = summarise(trace)
    assert (found.devices, found.patterns, found.slots, found.curves) == (5, 4, 6, 0)
    assert (found.never_online, found.always_online) == (1, 1)
    assert found.online == pytest.approx((2.5 + 24 + 5) / 96)
    by_hour = np.zeros(HOURS)
    by_hour[[0, 1]] = 3, 2
    by_hour[2:] = 1
    by_hour[5] = 1.5
    by_hour[20:] = 2
    assert found.online_by_hour == pytest.approx(by_hour / 4)
    assert found.quantiles["compute_ms_per_sample"][PER_CENT.index(50)] == 3
    # Stays: [0, 2 h) of two slots that touch, half an hour, a day, and 5 h across midnight.
    assert found.quantiles["stay_seconds"][[0, -1]] == pytest.approx([HOUR / 2, DAY])
    assert found.quantiles["stay_seconds"][PER_CENT.index(50)] == pytest.approx(
        (2 * HOUR + 5 * HOUR) / 2
    )
    # Gaps: 3 h, 18.5 h round midnight, 19 h.
    assert found.quantiles["gap_seconds"][PER_CENT.index(50)] == pytest.approx(18.5 * HOUR)
    assert found.quantiles["gap_seconds"][[0, -1]] == pytest.approx([3 * HOUR, 19 * HOUR])
    assert found.quantiles["online_share"][-1] == 1
    assert found.whole_days


def test_nobody_online_is_a_trace_too(make_trace: Callable[..., Trace]) -> None:
    found = summarise(make_trace([[], []], period=DAY))
    assert found.online == 0
    assert not found.online_by_hour.any()
    assert "stay_seconds" not in found.quantiles


def test_an_hour_that_no_period_reaches_has_nobody_in_it(make_trace: Callable[..., Trace]) -> None:
    found = summarise(make_trace([[(0, 1000)]], period=2 * HOUR))
    assert found.online_by_hour == pytest.approx([1000 / HOUR] + [0] * 23)
    assert not found.whole_days


patterns = st.lists(
    st.tuples(
        st.lists(st.integers(0, 60), min_size=0, max_size=8, unique=True).map(sorted),
        st.sampled_from([60, 75, 24 * 3, 100]),
    ),
    min_size=1,
    max_size=4,
)


@given(patterns=patterns, scale=st.sampled_from([900, 1800, 3600, 50_000]))
def test_hours_are_those_of_a_walk_over_all_seconds(
    make_trace: Callable[..., Trace], patterns: list[tuple[list[int], int]], scale: int
) -> None:
    """The walk goes in steps of 100 s, which all times here are multiples of."""
    slots = [
        [(a * scale, b * scale) for a, b in zip(times[::2], times[1::2], strict=False)]
        for times, _ in patterns
    ]
    periods = [float(period * scale) for _, period in patterns]
    found = summarise(make_trace(slots, period=periods))
    online, all_of_it = np.zeros(HOURS), np.zeros(HOURS)
    for pattern, period in zip(slots, periods, strict=True):
        middles = np.arange(50, period, 100)
        hour = (middles % DAY // HOUR).astype(int)
        all_of_it += np.bincount(hour, minlength=HOURS)
        inside = np.array([any(start <= t < end for start, end in pattern) for t in middles])
        online += np.bincount(hour, inside, HOURS)
    assert found.online_by_hour == pytest.approx(
        np.divide(online, all_of_it, out=np.zeros(HOURS), where=all_of_it > 0)
    )
    assert found.online == pytest.approx(online.sum() / all_of_it.sum())


def test_periods_of_ages_take_no_memory(make_trace: Callable[..., Trace]) -> None:
    found = summarise(make_trace([[(0, 1e14)]], period=1e15))
    assert found.online == pytest.approx(0.1)
    assert found.online_by_hour == pytest.approx(np.full(HOURS, 0.1), rel=1e-6)


def test_means_of_curves_weigh_by_time(make_trace: Callable[..., Trace]) -> None:
    curves = Bandwidth(
        offsets=np.array([0, 2, 3]),
        start=np.array([0.0, 1.0, 0.0]),
        download_kbps=np.array([10.0, 50.0, 7.0]),
        upload_kbps=np.array([0.0, 4.0, 8.0]),
        period=np.array([4.0, 9.0]),
    )
    down, up = curve_means(curves)
    assert down.tolist() == [(10 + 3 * 50) / 4, 7]
    assert up.tolist() == [3, 8]
    found = summarise(replace(make_trace([[(0, 1)]]), bandwidth=curves))
    assert found.curves == 2
    assert found.quantiles["curve_download_kbps"][[0, -1]].tolist() == [7, 40]
    assert found.quantiles["curve_seconds"][-1] == 9
