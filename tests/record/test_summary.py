"""What a run comes to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.errors import TrainingError
from mpifl.record.summary import (
    Totals,
    closing_lines,
    time_text,
    where_time_went,
)
from mpifl.record.tables import CLIENT_SCORES, ROUND, SCORES, row_type
from mpifl.record.wording import ENDS, clock_text, energy_text
from mpifl.stopwatch import SPENT, Stopwatch


def row(**values: Any) -> np.ndarray:
    made = np.zeros(1, row_type(ROUND))
    for name in (*SCORES, *CLIENT_SCORES):
        made[name] = np.nan
    for name, value in values.items():
        made[name] = value
    return made


def test_counts_add_up_and_the_last_values_stay() -> None:
    totals = Totals()
    totals.add(
        row(
            asked=13,
            completed=10,
            dropped=2,
            cut=1,
            bytes_down=100,
            bytes_up=50,
            end_seconds=60.0,
            accuracy=0.5,
            loss=1.5,
        )
    )
    totals.add(
        row(
            asked=5,
            completed=5,
            bytes_down=7,
            bytes_up=3,
            end_seconds=90.5,
            accuracy=0.75,
            loss=0.5,
        )
    )
    totals.add(row(asked=3, stale=3, joules=4.5, joules_wasted=1.5, end_seconds=90.5))
    assert totals.summary() == {
        "virtual_seconds": 90.5,
        "final": {"accuracy": 0.75, "loss": 0.5},
        "participants": 21,
        "completed": 15,
        "dropped": 2,
        "cut": 1,
        "stale": 3,
        "failed": 0,
        "abandoned": 0,
        "bytes_down": 107,
        "bytes_up": 53,
        "plain_bytes_down": 0,
        "plain_bytes_up": 0,
        "joules": 4.5,
        "joules_wasted": 1.5,
    }


def test_a_round_without_a_test_keeps_the_scores_of_the_last() -> None:
    totals = Totals()
    totals.add(row(accuracy=0.5, loss=1.5, end_seconds=1.0))
    totals.add(row(end_seconds=2.0))
    assert totals.summary()["final"] == {"accuracy": 0.5, "loss": 1.5}
    assert totals.summary()["virtual_seconds"] == 2.0


def test_nothing_yet() -> None:
    found = Totals().summary()
    assert found["final"] == {}
    assert found["participants"] == found["completed"] == 0


def test_a_summary_is_asked_for_twice() -> None:
    totals = Totals()
    totals.add(row(asked=3, completed=3))
    assert totals.summary() == totals.summary()
    totals.add(row(asked=3, completed=3))
    assert totals.summary()["participants"] == 6


def test_two_runs_do_not_share_counts() -> None:
    first, second = Totals(), Totals()
    first.add(row(asked=3))
    assert second.summary()["participants"] == 0


def test_a_summary_is_plain_json() -> None:
    totals = Totals()
    totals.add(row(asked=3, bytes_down=2**40, accuracy=0.1, loss=2.3, end_seconds=1.5))
    found = json.loads(json.dumps(totals.summary(), allow_nan=False))
    assert found["bytes_down"] == 2**40
    not_counted = ("virtual_seconds", "final", "joules", "joules_wasted")
    assert all(
        type(value) is int for name, value in totals.summary().items() if name not in not_counted
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (8.3, "8.3 s"),
        (59.94, "59.9 s"),
        (60, "1:00 min"),
        (61, "1:01 min"),
        (725, "12:05 min"),
        (725.4, "12:05 min"),
        (3599, "59:59 min"),
        (3599.6, "1:00:00 h"),
        (3600, "1:00:00 h"),
        (11_240, "3:07:20 h"),
        (90_061, "25:01:01 h"),
        (1_000_000, "277:46:40 h"),
    ],
)
def test_seconds_as_a_person_reads_them(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


@pytest.mark.parametrize("seconds", [59.95001, 59.99])
def test_sixty_seconds_are_a_minute(seconds: float) -> None:
    assert clock_text(seconds) == "1:00 min"


@given(st.floats(60, 1e9))
def test_clock_text_says_the_seconds(seconds: float) -> None:
    digits, unit = clock_text(seconds).split()
    parts = [int(part) for part in digits.split(":")]
    assert len(parts) == {"min": 2, "h": 3}[unit]
    assert all(part < 60 for part in parts[1:])
    assert sum(part * 60**place for place, part in enumerate(reversed(parts))) == round(seconds)


def test_closing_lines_say_result_time_traffic_and_place() -> None:
    summary = {
        "stopped_by": None,
        "resumed_from": None,
        "rounds": 40,
        "virtual_seconds": 7200.0,
        "wall_seconds": 36.0,
        "final": {"accuracy": 0.98765, "loss": 0.04321},
        "participants": 520,
        "completed": 400,
        "dropped": 70,
        "cut": 50,
        "stale": 3,
        "failed": 0,
        "abandoned": 0,
        "joules": 11_900.0,
        "joules_wasted": 74.8,
        "seconds": {"training": 27.0, "start": 9.0},
        "peak_bytes": [300_000_000, 412_000_000],
        "bytes_down": 1_200_000_000,
        "bytes_up": 930_000,
        "plain_bytes_down": 1_200_000_000,
        "plain_bytes_up": 930_000,
        "model_sha256": "0123456789abcdef" * 4,
    }
    result, time, phases, traffic, place = closing_lines(summary, "runs/job-2")
    assert "0.9876" in result or "0.9877" in result
    assert "0.0432" in result
    assert "40 rounds" in result
    assert "2:00:00 h" in time
    assert "36.0 s (200.0 times as fast as the phones)" in time
    again = closing_lines(summary | {"resumed_from": 30}, "runs/job-2")[1]
    assert again.endswith("wall time 36.0 s since it was resumed after round 30")
    assert "200.0 times" in time
    assert (
        phases == "wall time by phase: training 75%, start 25%; at most 412.0 MB of memory a rank"
    )
    assert "1.2 GB down" in traffic
    assert "930.0 kB up" in traffic
    for part in (
        "520 participants",
        "400 completed",
        "70 dropped",
        "50 cut",
        "3 too late",
        "11.9 kJ",
        "74.8 J",
    ):
        assert part in traffic
    assert "runs/job-2" in place
    assert "0123456789abcdef" in place


def test_a_run_that_trained_nothing_says_so() -> None:
    summary: dict[str, Any] = dict.fromkeys(
        (
            "participants",
            "completed",
            "dropped",
            "cut",
            "stale",
            "failed",
            "abandoned",
            "bytes_down",
            "bytes_up",
            "plain_bytes_down",
            "plain_bytes_up",
        ),
        0,
    )
    summary |= {
        "rounds": 7,
        "stopped_by": None,
        "resumed_from": None,
        "virtual_seconds": 1.0,
        "wall_seconds": 1.0,
        "joules": 0.0,
        "joules_wasted": 0.0,
    }
    summary |= {"seconds": {"clock": 1.0}, "peak_bytes": [1_000_000]}
    lines = closing_lines(summary | {"final": {}, "model_sha256": None}, "runs/job")
    assert lines[0] == "nothing was trained (timing only) after 7 rounds"
    assert lines[-1] == "results in runs/job"


@pytest.mark.parametrize(
    ("count", "noun"), [(0, "0 participants"), (1, "1 participant"), (1300, "1,300 participants")]
)
def test_one_of_something_is_one(count: int, noun: str) -> None:
    summary: dict[str, Any] = dict.fromkeys(
        (*ENDS, "bytes_down", "bytes_up", "plain_bytes_down", "plain_bytes_up"), 0
    )
    summary |= {
        "rounds": 1,
        "stopped_by": None,
        "resumed_from": None,
        "virtual_seconds": 1.0,
        "wall_seconds": 1.0,
        "joules": 0.0,
        "joules_wasted": 0.0,
    }
    summary |= {
        "seconds": {"clock": 1.0},
        "peak_bytes": [1_000_000],
        "final": {},
        "model_sha256": None,
        "participants": count,
    }
    lines = closing_lines(summary, "runs/job")
    assert lines[0].endswith(" after 1 round")
    assert f"; {noun}: 0 completed, 0 dropped out, 0 cut; " in lines[3]


@pytest.mark.parametrize(
    ("completed", "failed", "trained"),
    [(0, 0, True), (1, 0, True), (1, 9, True), (0, 1, False), (0, 9, False)],
)
def test_a_run_whose_every_participant_failed_has_trained_nobody(
    completed: int, failed: int, trained: bool
) -> None:
    totals = Totals()
    totals.counts.update(asked=20, completed=completed, failed=failed)
    if trained:
        totals.check_trained()
    else:
        with pytest.raises(
            TrainingError,
            match=r"training failed for all of \d participants?",
        ):
            totals.check_trained()


@pytest.mark.parametrize(
    ("joules", "text"),
    [
        (0, "0 J"),
        (74.84, "74.8 J"),
        (999.6, "1 kJ"),
        (11_900, "11.9 kJ"),
        (3.3e9, "3.3 GJ"),
        (4.56e12, "4.56e+03 GJ"),
    ],
)
def test_joules_as_a_person_reads_them(joules: float, text: str) -> None:
    assert energy_text(joules) == text


def watch_of(**seconds: float) -> Stopwatch:
    watch = Stopwatch()
    watch.seconds.update(seconds)
    return watch


def spent_rows(*rows: dict[str, float]) -> np.ndarray:
    made = np.zeros(len(rows), SPENT)
    for at, row in zip(made, rows, strict=True):
        for name, value in row.items():
            at[name] = value
    return made


def test_every_second_of_the_wall_time_has_its_phase() -> None:
    watch = watch_of(
        start=2, selection=1, clock=0.5, broadcast=0.25, wait=10, reduce=0.5, server=0.75, writing=1
    )
    watch.hidden.update(clock=3)
    spent = spent_rows(
        {"peak_bytes": 5},
        {"training": 8, "evaluation": 1, "peak_bytes": 7},
        {"training": 6, "peak_bytes": 6},
    )
    found = where_time_went(16.5, watch, spent)
    assert found["seconds"] == {
        "start": 2, "selection": 1, "clock": 0.5, "broadcast": 0.25, "reduce": 0.5, "server": 0.75, "writing": 1,
        "training": 7, "evaluation": 0.5, "idle": 2.5, "other": 0.5,
    }  # fmt: skip
    assert sum(found["seconds"].values()) == 16.5
    assert found["hidden_seconds"] == {"clock": 3}
    assert found["executor_seconds"]["training"] == {"mean": 7, "most": 8}
    assert found["peak_bytes"] == [5, 7, 6]
    assert json.loads(json.dumps(found)) == found


def test_alone_a_rank_is_never_idle() -> None:
    found = where_time_went(
        5.0,
        watch_of(start=1, training=3, evaluation=0.5),
        spent_rows({"training": 3, "evaluation": 0.5}),
    )
    assert found["seconds"]["training"] == 3
    assert found["seconds"]["idle"] == 0
    assert found["seconds"]["other"] == 0.5


def test_a_line_says_where_the_time_went_most_first() -> None:
    assert (
        time_text({"start": 1, "training": 6, "idle": 3, "clock": 0.01})
        == "training 60%, idle 30%, start 10%"
    )


def test_a_perplexity_that_is_infinite_is_no_final_score() -> None:
    """JSON has no infinity: other programs could not read summary.json."""
    totals = Totals()
    totals.add(row(loss=800.0, perplexity=np.inf, accuracy=0.1))
    assert totals.final == {"loss": 800.0, "accuracy": 0.1}
    json.dumps(totals.summary(), allow_nan=False)


def test_the_best_of_one_score_is_not_compared_with_another() -> None:
    totals = Totals()
    totals.add(row(round=1, loss=800.0, perplexity=np.inf))
    totals.add(row(round=2, loss=7.0, perplexity=1096.0))
    totals.add(row(round=3, loss=7.1, perplexity=1212.0))
    assert totals.best == {"loss": (800.0, 1), "perplexity": (1096.0, 2)}
