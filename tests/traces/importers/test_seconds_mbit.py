"""Logs of seconds and Mbit/s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.traces.bandwidth import check_bandwidth
from mpifl.traces.importers.seconds_mbit import SecondsMbit
from tests.traces.importers.refusing import lines, refusal


def test_a_log_by_hand(tmp_path: Path) -> None:
    found = SecondsMbit().read([lines(tmp_path / "a", ["10 1.5", "11\t0", "14  2e-1", "16.5 3"])])
    assert found.bandwidth is not None
    assert found.bandwidth.start.tolist() == [0, 1, 4, 6.5]
    assert found.bandwidth.download_kbps.tolist() == [1500, 0, 200, 3000]
    assert found.bandwidth.upload_kbps.tolist() == [1500, 0, 200, 3000]
    assert found.bandwidth.period.tolist() == [
        9
    ]  # the last step is as long as the median of 1, 3 and 2.5 s


def test_all_real_logs_become_curves(shared: Path) -> None:
    paths = sorted((shared / "data" / "traces" / "cellular" / "norway").iterdir())
    found = SecondsMbit().read(paths).bandwidth
    assert found is not None
    check_bandwidth("norway", found)
    assert found.curves == len(paths) > 100
    for curve, path in list(enumerate(paths))[::25]:
        table = np.loadtxt(path)
        part = slice(found.offsets[curve], found.offsets[curve + 1])
        assert np.array_equal(found.start[part], table[:, 0] - table[0, 0])
        assert found.download_kbps[part] == pytest.approx(table[:, 1] * 1000, rel=1e-15)
        assert found.period[curve] == pytest.approx(
            np.ptp(table[:, 0]) + np.median(np.diff(table[:, 0]))
        )


def test_pairs_of_directions_meet_at_all_their_points(tmp_path: Path) -> None:
    pair = [
        lines(tmp_path / "x.down", ["0 1", "2 2", "4 3"]),
        lines(tmp_path / "x.up", ["0 5", "3 6"]),
    ]
    found = SecondsMbit().read(pair).bandwidth
    assert found is not None
    assert found.start.tolist() == [0, 2, 3, 4]
    assert found.download_kbps.tolist() == [1000, 2000, 2000, 3000]
    assert found.upload_kbps.tolist() == [5000, 5000, 6000, 6000]
    assert found.period.tolist() == [6]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["0 1", "0 2"], "line 2: '0 2'; seconds must rise"),
        (["0 1", "5 2", "4 2"], "line 3: '4 2'; seconds must rise"),
        (["0 1", "1 -2"], "line 2: '1 -2'; Mbit/s must not be negative"),
        (["0 1", "1 nan"], "line 2: Mbit/s 'nan'; must be a finite number"),
        (["0 1", "inf 1"], "line 2: seconds 'inf'; must be a finite number"),
        (["0 1", "1 x"], "line 2: Mbit/s 'x'"),
        (["0 1", "1"], "line 2: '1'; expected seconds and Mbit/s"),
        (["0 1", "1 2 3"], "line 2: '1 2 3'; expected"),
        (["0 1", "", "1 2"], "line 2: ''; expected"),
        (["0 1"], "1 line; a log needs two or more"),
        ([], "no lines"),
        (["0 0", "1 0"], "0 Mbit/s at all times"),
    ],
    ids=str,
)
def test_wrong_lines_are_named(tmp_path: Path, rows: list[Any], said: str) -> None:
    path = lines(tmp_path / "t", rows)
    assert refusal(SecondsMbit(), path).startswith(f"{path}: {said}")
