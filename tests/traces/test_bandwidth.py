"""Bandwidth over time: kept as written, and nothing that the clock cannot rely on gets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.errors import InputError
from mpifl.traces.bandwidth import COLUMNS, Bandwidth, bandwidth_from, check_bandwidth
from mpifl.traces.trace import Trace, open_trace, write_trace
from tests.budget import examples

CURVES = Bandwidth(
    offsets=np.array([0, 2, 3]),
    start=np.array([0.0, 2.5, 0.0]),
    download_kbps=np.array([100.0, 0.0, 7.0]),
    upload_kbps=np.array([0.0, 50.0, 3.0]),
    period=np.array([4.0, 1.0]),
)


def changed(**columns: Any) -> Bandwidth:
    return replace(
        CURVES,
        **{
            name: np.array(values, np.int64 if name == "offsets" else float)
            for name, values in columns.items()
        },
    )


def test_a_trace_keeps_its_curves(make_trace: Callable[..., Trace], tmp_path: Path) -> None:
    trace = replace(make_trace([[(0, 1)]]), bandwidth=CURVES)
    write_trace(tmp_path / "trace.h5", trace)
    found = open_trace(tmp_path / "trace.h5").bandwidth
    assert found.curves == 2
    for column in ("offsets", *COLUMNS):
        assert np.array_equal(getattr(found, column), getattr(CURVES, column)), column


def test_a_trace_without_curves_has_none(make_trace: Callable[..., Trace], tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.h5", make_trace([[(0, 1)]]))
    assert open_trace(tmp_path / "trace.h5").bandwidth.curves == 0


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"offsets": [0, 2]}, "offsets do not span its 3 points and 2 curves"),
        ({"offsets": [1, 2, 3]}, "offsets do not span"),
        ({"offsets": [0, 3, 3]}, "curve 1: has no points"),
        ({"period": [4, 0]}, "curve 1: period 0.0; must be finite and above 0"),
        ({"period": [4, np.nan]}, "curve 1: period nan"),
        ({"start": [0, np.inf, 0]}, "curve 0: start inf; must be finite"),
        ({"start": [1, 2.5, 0]}, "curve 0: start 1.0; the first point of a curve begins at 0"),
        ({"start": [0, 0, 0]}, "curve 0: start 0.0; must rise"),
        ({"start": [0, 4, 0]}, "curve 0: start 4.0; must lie inside the period"),
        (
            {"download_kbps": [1, -1, 1]},
            "curve 0: download_kbps -1.0; must be finite and not negative",
        ),
        ({"upload_kbps": [1, 1, np.nan]}, "curve 1: upload_kbps nan"),
        ({"upload_kbps": [0, 0, 1]}, "curve 0: upload_kbps 0.0; at all times"),
        ({"upload_kbps": [1, 1]}, "upload_kbps has 2 points, start 3"),
    ],
)
def test_what_the_clock_cannot_rely_on_is_named(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_bandwidth("x.h5", changed(**columns))
    assert str(caught.value).startswith("x.h5: ")
    assert said in str(caught.value)


def speeds(bandwidth: Bandwidth, curve: int, moment: float) -> tuple[float, float]:
    """The download and upload of a curve at a moment, from the definition."""
    within = moment % bandwidth.period[curve]
    own = range(bandwidth.offsets[curve], bandwidth.offsets[curve + 1])
    point = max(k for k in own if bandwidth.start[k] <= within)
    return bandwidth.download_kbps[point], bandwidth.upload_kbps[point]


@given(
    curves=st.lists(st.sets(st.integers(1, 19), max_size=5).map(sorted), min_size=1, max_size=4),
    seconds=st.integers(0, 50),
)
@examples(200)
def test_curves_from_a_moment_on_have_the_speeds_of_so_much_later(
    curves: list[list[int]], seconds: int
) -> None:
    start = [moment for curve in curves for moment in [0, *curve]]
    kbps = 1.0 + np.arange(len(start))
    offsets = np.cumsum([0, *(1 + len(curve) for curve in curves)])
    period = 20.0 + np.arange(len(curves))
    bandwidth = Bandwidth(offsets, np.array(start, float), kbps, 2 * kbps, period)

    moved = bandwidth_from(bandwidth, seconds)
    check_bandwidth("x", moved)
    for curve in range(len(curves)):
        for moment in np.arange(0, 30, 0.5):
            assert speeds(moved, curve, moment) == speeds(bandwidth, curve, moment + seconds)
    assert bandwidth_from(Bandwidth(), 5.0).curves == 0
