"""The availability matrix: the real one, and small ones by hand."""

from __future__ import annotations

import io
import lzma
from pathlib import Path

import numpy as np
import pytest

from mpifl.traces.importers.flash_matrix import FlashMatrix
from tests.traces.importers.refusing import refusal

NAN = np.nan
DAY_STEPS = 48


def saved(path: Path, matrix: np.ndarray) -> Path:
    with open(path, "wb") as file:
        np.save(file, matrix)
    return path


def test_the_real_matrix_is_online_where_it_says_one(shared: Path) -> None:
    path = shared / "data" / "traces" / "flash" / "availability_matrix.npy.xz"
    matrix = np.load(io.BytesIO(lzma.decompress(path.read_bytes())))
    found = FlashMatrix().read([path])
    slots = found.slots
    assert slots is not None
    assert len(slots.period) == 723
    assert set(slots.period) == {5 * 86_400.0}
    phone = np.repeat(np.arange(723), np.diff(slots.offsets))
    middles = np.arange(240) * 1800 + 900
    online = np.zeros((240, 723), int)
    for step, moment in enumerate(middles):
        online[step] = np.bincount(
            phone[(slots.start <= moment) & (moment < slots.end)], minlength=723
        )
    assert np.array_equal(online == 1, matrix[:240] == 1)
    # shared/data/README.md: mean 0.081 of what was observed, 19 % not observed, 29 % never on, runs of 1 h and 8 h
    assert np.mean(np.diff(slots.offsets) == 0) == pytest.approx(0.29, abs=0.005)
    runs = (slots.end - slots.start) / 3600
    assert (np.median(runs), np.percentile(runs, 95)) == (1, 8)
    assert "19.2% of its cells were not observed and count as offline; 8.1%" in found.notes[0]
    by_hour = [
        np.nanmean(matrix[:240].reshape(5, DAY_STEPS, 723)[:, 2 * hour : 2 * hour + 2])
        for hour in range(24)
    ]
    published = [.090, .098, .108, .116, .120, .119, .114, .101, .088, .081, .073, .065,
                 .063, .057, .057, .059, .065, .070, .077, .066, .059, .061, .071, .084]  # fmt: skip
    assert by_hour == pytest.approx(published, abs=0.0015)


def test_a_matrix_by_hand(tmp_path: Path) -> None:
    matrix = np.zeros((2 * DAY_STEPS + 5, 4))
    matrix[0, 0] = matrix[1, 0] = 1
    matrix[DAY_STEPS - 1 : DAY_STEPS + 2, 1] = 1
    matrix[1:, 2] = [1, NAN] * DAY_STEPS + [1] * 4
    found = FlashMatrix().read([saved(tmp_path / "m.npy", matrix)])
    assert found.slots is not None
    assert found.slots.offsets.tolist() == [0, 1, 2, 2 + DAY_STEPS, 2 + DAY_STEPS]
    assert found.slots.start[:3].tolist() == [0, 47 * 1800, 1800]
    assert found.slots.end[:3].tolist() == [3600, 50 * 1800, 3600]
    assert found.slots.end[-1] == 2 * 86_400
    assert "the last 5 of 101 steps" in found.notes[1]


@pytest.mark.parametrize(
    ("steps", "minutes", "period", "kept"),
    [
        (48, 30, 86_400, 48),
        (47, 30, 47 * 1800, 47),
        (10, 1, 600, 10),
        (300, 5, 86_400, 288),
        (206, 7, 86_400, 206),
        (3, 1440, 3 * 86_400, 3),
    ],
)
def test_periods_are_whole_days_or_less_than_one(
    tmp_path: Path, steps: int, minutes: float, period: float, kept: int
) -> None:
    found = FlashMatrix(step_minutes=minutes).read(
        [saved(tmp_path / "m.npy", np.ones((steps, 1), bool))]
    )
    assert found.slots is not None
    assert found.slots.period[0] == period
    assert found.slots.start.tolist() == [0]
    assert found.slots.end.tolist() == [min(kept * minutes * 60, period)]


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.array([[0.0, 1], [1, 0.5]]), "step 1, phone 1: 0.5; must be 0, 1 or NaN"),
        (np.array([[0, 1], [2, 0]]), "step 1, phone 0: 2"),
        (np.array([[np.inf]]), "step 0, phone 0: inf"),
        (np.zeros((3, 2)), "no client is ever online"),
        (np.full((3, 2), NAN), "no client is ever online"),
        (np.ones(5), "float64 (5,); expected numbers of (steps, phones)"),
        (np.ones((5, 0)), "(5, 0)"),
        (np.array([["1"]]), "<U1"),
        (np.array([[{}]]), "not an .npy array of numbers"),
    ],
    ids=str,
)
def test_wrong_matrices_are_named(tmp_path: Path, matrix: np.ndarray, said: str) -> None:
    path = saved(tmp_path / "m.npy", matrix)
    message = refusal(FlashMatrix(), path)
    assert message.startswith(f"{path}: ")
    assert said in message


def test_files_that_are_cut_off_or_something_else_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.npy", np.ones((50, 2)))
    raw = path.read_bytes()
    for length in (0, 5, 20, 100, len(raw) - 1):
        path.write_bytes(raw[:length])
        assert str(path) in refusal(FlashMatrix(), path)
    packed = tmp_path / "m.npy.xz"
    packed.write_bytes(raw)
    assert str(packed) in refusal(FlashMatrix(), packed)
    path.write_bytes(raw.replace(b"(50, 2), }" + b" " * 12, b"(" + b"9" * 14 + b", 2), }"))
    assert len(path.read_bytes()) == len(raw)
    assert str(path) in refusal(FlashMatrix(), path)
    path.write_bytes(raw + b"x")
    assert "more behind its end" in refusal(FlashMatrix(), path)
    np.savez(tmp_path / "m.npz", x=np.ones((5, 2)))
    assert "m.npz" in refusal(FlashMatrix(), tmp_path / "m.npz")
    assert "none" in refusal(FlashMatrix(), tmp_path / "none")
