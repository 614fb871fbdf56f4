"""What a person sees while a run goes on."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpifl.record.progress import notices, round_lines, scores
from mpifl.record.tables import ROUND, SCORES, row_type


def row(**values: Any) -> np.ndarray:
    """Round 3 with 10 of 13 completed by virtual second 725, not tested."""
    made = np.zeros(1, row_type(ROUND))
    given = {
        "round": 3,
        "end_seconds": 725.0,
        "asked": 13,
        "completed": 10,
        **dict.fromkeys(SCORES, np.nan),
    } | values
    for name, value in given.items():
        made[name] = value
    return made


# Notices


def test_an_ordinary_round_is_not_remarked_on() -> None:
    assert notices(row(dropped=2, cut=1)) == []


def test_an_abandoned_round_is_told() -> None:
    assert notices(row(completed=0, abandoned=3, cut=9, wanted=10)) == [
        "round 3: abandoned: 3 of 10 updates are fewer than clock.least_share; the model stays as it is"
    ]


def test_waiting_is_told_with_its_length() -> None:
    (line,) = notices(row(waited_seconds=3600.0))
    assert "round 3" in line
    assert "1:00:00 h" in line


def test_a_round_that_nobody_finished_is_told() -> None:
    (line,) = notices(row(completed=0, dropped=13))
    assert "round 3" in line
    assert "none of the 13" in line


def test_both_at_once() -> None:
    assert len(notices(row(waited_seconds=1.0, completed=0))) == 2


def test_scores_stand_only_where_the_model_was_tested() -> None:
    assert scores(row()) == []
    assert scores(row(accuracy=0.9, loss=0.25)) == ["accuracy 0.9000", "loss 0.2500"]


def test_an_objective_s_own_measures_stand_behind_the_usual_scores_where_there_is_room() -> None:
    names = [f"own_{number}" for number in range(5)]
    columns = {**ROUND, **dict.fromkeys(names, ("<f8", ""))}
    one = np.zeros(1, row_type(columns))
    for name, (kind, _) in ROUND.items():
        one[name] = row()[name] if kind != "<f8" else np.nan
    one["end_seconds"] = one["waited_seconds"] = 0.0
    one["loss"], one["own_0"], one["own_1"], one["own_2"] = 0.25, 0.5, np.nan, 2.0
    assert scores(one, ["loss", *names]) == [
        *("loss 0.2500", "own_0 0.5000", "own_2 2.0000", "own_3 0.0000"),
    ]
    assert scores(one) == ["loss 0.2500"]
    assert ", loss 0.2500, own_0 0.5000, 10 of 13" in round_lines(one, 9, names[:1])[0]


# Lines


def test_one_plain_line_a_round() -> None:
    (line,) = round_lines(row(dropped=2, cut=1, accuracy=0.875, loss=0.5), 100)
    assert line == (
        "round 3/100, virtual 12:05 min, accuracy 0.8750, loss 0.5000, 10 of 13 participants completed (2 dropped out, 1 cut)"
    )


def test_a_line_leaves_out_what_there_is_none_of() -> None:
    assert round_lines(row(asked=10), 100) == [
        "round 3/100, virtual 12:05 min, 10 of 10 participants completed"
    ]
    (line,) = round_lines(row(cut=3), 100)
    assert line.endswith("10 of 13 participants completed (3 cut)")


def test_one_participant_is_one() -> None:
    (line,) = round_lines(row(asked=1, completed=1), 1)
    assert line.endswith(", 1 of 1 participant completed")
    (line,) = notices(row(asked=1, completed=0))
    assert line == "round 3: the only participant did not finish; the model stays as it is"
    (line,) = round_lines(row(asked=13_000, completed=10_000, cut=3000), 1)
    assert line.endswith(", 10,000 of 13,000 participants completed (3,000 cut)")


def test_notices_come_before_their_round() -> None:
    notice, line = round_lines(row(waited_seconds=10.0), 100)
    assert "nobody was online" in notice
    assert line.startswith("round 3/100")
