"""mahimahi's traces: every byte is in its bin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpifl.traces.bandwidth import Bandwidth, check_bandwidth
from mpifl.traces.importers.mahimahi import Mahimahi
from tests.budget import examples
from tests.traces.importers.refusing import lines, refusal


def carried(bandwidth: Bandwidth, curve: int = 0, speed: str = "download_kbps") -> np.ndarray:
    """Bytes of each step of a curve."""
    part = slice(bandwidth.offsets[curve], bandwidth.offsets[curve + 1])
    seconds = np.diff(np.append(bandwidth.start[part], bandwidth.period[curve]))
    return getattr(bandwidth, speed)[part] * seconds * 1000 / 8


def read(*paths: Path, **options: Any) -> Bandwidth:
    found = Mahimahi(**options).read(paths).bandwidth
    assert found is not None
    check_bandwidth("test", found)
    return found


def test_the_manuals_example_is_12_mbit(tmp_path: Path) -> None:
    """README of the traces: a file with just "1" is a packet a millisecond, 12 Mbit/s."""
    assert read(lines(tmp_path / "t", [1]), bin_seconds=0.001).download_kbps.tolist() == [12_000]


def test_packets_by_hand(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "t", [0, 0, 999, 1000, 2500, 3000, 3000]))
    assert found.period.tolist() == [3]
    assert found.start.tolist() == [0, 1, 2]
    assert (carried(found) / 1500).tolist() == [
        3,
        1,
        3,
    ]  # those of the very end count to the last bin
    assert np.array_equal(found.download_kbps, found.upload_kbps)


@given(
    stamps=st.lists(st.integers(0, 5000), min_size=1, max_size=200).map(sorted),
    bin_seconds=st.sampled_from([0.001, 0.01, 0.1, 0.3, 0.5, 1.0, 7.0]),
)
@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_byte_is_in_its_bin(tmp_path: Path, stamps: list[int], bin_seconds: float) -> None:
    stamps[-1] = max(stamps[-1], 1)
    found = read(lines(tmp_path / "t", stamps), bin_seconds=bin_seconds)
    bin_ms = round(bin_seconds * 1000)
    packets = np.zeros(-(-stamps[-1] // bin_ms))
    for stamp in stamps:
        packets[min(stamp // bin_ms, len(packets) - 1)] += 1
    assert np.rint(carried(found)).tolist() == (packets * 1500).tolist()
    assert carried(found).sum() == pytest.approx(1500 * len(stamps), rel=1e-12)
    assert found.period[0] == pytest.approx(len(packets) * bin_seconds, rel=1e-15)


@pytest.mark.parametrize(
    "name",
    ["ATT-LTE-driving", "ATT-LTE-driving-2016", "TMobile-UMTS-driving", "Verizon-EVDO-driving"],
)
def test_real_pairs_carry_exactly_their_packets(shared: Path, name: str) -> None:
    folder = shared / "data" / "traces" / "cellular" / "mahimahi"
    pair = [folder / f"{name}.down", folder / f"{name}.up"]
    stamps = [np.array(path.read_text().split(), int) for path in pair]
    ends = [-(-times[-1] // 1000) for times in stamps]
    found = read(*pair)
    assert found.curves == 1
    assert found.period[0] == max(ends)
    for times, end, speed in zip(stamps, ends, ("download_kbps", "upload_kbps"), strict=True):
        found_bytes = carried(found, speed=speed)
        packets = np.bincount(np.minimum(times // 1000, end - 1), minlength=end)
        assert np.array_equal(found_bytes[:end], packets * 1500.0)
        assert np.array_equal(
            found_bytes[end:], packets[: len(found_bytes) - end] * 1500.0
        )  # the shorter one begins anew
        assert found_bytes[:end].sum() == 1500 * len(times)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([0, 5, 4], "line 3: 4 ms is before the line above it, 5 ms"),
        ([0, "x"], "line 2: 'x'; expected a packet's time"),
        ([0, -5], "line 2: '-5'"),
        ([0, 1.5], "line 2: '1.5'"),
        ([0, "nan"], "line 2: 'nan'"),
        ([1, "", 2], "line 2: ''"),
        (["1 2"], "line 1: '1 2'"),
        (["٣"], "line 1: '٣'"),
        (["9" * 30], "line 1: '999"),
        (
            [0, 10**15 - 1],
            "line 2: 999999999999999 ms; must not be above 10,000,000 bins of 1000 ms",
        ),
        ([0, 0], "line 2: the last packet is at 0 ms"),
        ([], "no lines"),
    ],
    ids=str,
)
def test_wrong_lines_are_named(tmp_path: Path, rows: list[Any], said: str) -> None:
    path = lines(tmp_path / "t", rows)
    assert refusal(Mahimahi(), path).startswith(f"{path}: {said}")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"0\n1\xff\n")
    assert "line 2: not UTF-8" in refusal(Mahimahi(), path)
    assert "none" in refusal(Mahimahi(), tmp_path / "none")
    assert str(tmp_path) in refusal(Mahimahi(), tmp_path)


@pytest.mark.parametrize("seconds", [0, -1, 0.0005, 1.0005, float("nan"), float("inf"), 1e6])
def test_bins_are_whole_milliseconds(seconds: float) -> None:
    with pytest.raises(ValidationError):
        Mahimahi(bin_seconds=seconds)
