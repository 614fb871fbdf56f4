"""AI Benchmark's tables: measured phones get what was measured, faster ones less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.traces.importers.ai_benchmark import AiBenchmark, compute_ms
from tests.traces.importers.refusing import refusal


def dumped(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_phones_that_flash_measured_have_their_own_times() -> None:
    """shared/data/README.md: 1642, 588 and 179 ms a batch of the FEMNIST CNN; batches are of 10, training is 3 inferences."""
    assert compute_ms(np.array([383.0, 6702, 33_289])) * 3 * 10 == pytest.approx([1642, 588, 179])


def test_a_higher_score_is_a_shorter_time_beyond_the_measured_ones_too() -> None:
    found = compute_ms(np.geomspace(50, 1e6, 400))
    assert (np.diff(found) < 0).all()
    assert (found > 0).all()


@pytest.mark.parametrize(
    ("name", "phones"), [("raw_ai_benchmark_list.json", 333), ("benchmark2score.json", 307)]
)
def test_the_real_tables_are_read(shared: Path, name: str, phones: int) -> None:
    path = shared / "data" / "traces" / "flash" / name
    found = AiBenchmark().read([path])
    table = json.loads(path.read_text())
    scores = (
        list(table.values())
        if isinstance(table, dict)
        else [int(phone["AI_Score"].split()[0]) for phone in table]
    )
    assert len(scores) == phones
    assert np.array_equal(
        found.devices["compute_ms_per_sample"], compute_ms(np.array(scores, float))
    )
    memory = ["memory_mb"] if isinstance(table, list) else []
    assert list(found.devices) == ["compute_ms_per_sample", *memory]
    if memory:
        gigabytes = [float(phone["RAM"].removesuffix("GB")) for phone in table]
        assert found.devices["memory_mb"] == pytest.approx(1000 * np.array(gigabytes))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"A": 5, "B": 0}, "phone 'B': AI score 0; must be a number above 0"),
        ({"A": -5}, "phone 'A': AI score -5"),
        ({"A": "x"}, "phone 'A': AI score 'x'"),
        ({"A": True}, "phone 'A': AI score True"),
        ({"A": None}, "phone 'A': AI score None"),
        ({"A": 10**400}, "phone 'A': AI score 1000"),
        (
            [{"Model": "A", "AI_Score": " 5 1"}, {"Model": "B", "AI_Score": "?"}],
            "phone 'B': AI score '?'",
        ),
        ([{"Model": "A", "AI_Score": " "}], "phone 'A': AI score ' '"),
        ([{"Model": "A"}], "phone 0: {'Model': 'A'}; expected"),
        ([5], "phone 0: 5; expected"),
        ([], "not empty"),
        ({}, "not empty"),
        ("5", "5 at its top"),
        ('{"A": 1, "A": 2}', "key 'A' stands twice"),
        ('{"A": NaN}', "NaN is not a number"),
        ('{"A": 1', "line 1: not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_tables_are_named(tmp_path: Path, table: Any, said: str) -> None:
    path = dumped(tmp_path / "t.json", table)
    message = refusal(AiBenchmark(), path)
    assert message.startswith(f"{path}: ")
    assert said in message


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b'{"A\xff": 1}')
    assert "byte 3 is not UTF-8" in refusal(AiBenchmark(), path)
