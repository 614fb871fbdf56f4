"""Rows of run.h5 from a round made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpifl.algorithms.algorithm import FOUND
from mpifl.clock.timeline import PARTICIPANT as ENDED
from mpifl.clock.timeline import ClockState, Outcome, Timeline
from mpifl.errors import TrainingError
from mpifl.record.plain_bytes import Plain
from mpifl.record.rows import analytics_rows, client_rows, participant_rows, round_row
from mpifl.record.tables import PARTICIPANT_COLUMNS, ROUND, TABLES, row_type
from mpifl.rounds.plan.plan import TASK, Plan
from mpifl.rounds.plan.round_result import CLIENT_TEST, MESSAGES, METRIC, RoundResult
from mpifl.rounds.plan.round_result import Tested as _Tested  # pytest would take it for a test
from tests.known import known

COMPLETED, DROPPED, CUT, STALE, FAILED, *_ = Outcome
CLIENTS = np.array([(6, 3, -1, 4, 2, 12.0), (6, 5, -1, 2, 2, 1.0)], CLIENT_TEST)
UNKNOWN = pytest.approx(np.nan, nan_ok=True)


@pytest.fixture
def result() -> RoundResult:
    """Round 7 from second 100: clients 9, 2, 5, 4, 3 ended in it; 9 and 2 complete, 5 drops out, 4 is cut, 3 is stale."""
    columns = {
        "client": [9, 2, 5, 4, 3],
        "outcome": [COMPLETED, COMPLETED, DROPPED, CUT, STALE],
        "base": [6, 5, 6, 6, 2],
        "staleness": [0, 1, 0, 0, 4],
        "factor": [1.0, 0.5, 1.0, 1.0, 0.25],
        "start_seconds": [100.0, 98.0, 100.0, 100.0, 20.0],
        "download_seconds": [1.0, 2.0, 3.0, 4.0, 5.0],
        "compute_seconds": [10.0, 20.0, 30.0, 40.0, 50.0],
        "upload_seconds": [5.0, 6.0, 7.0, 80.0, 30.0],
        "stop_seconds": [116.0, 126.0, 109.0, 160.0, 105.0],
        "steps": [3, 4, 5, 6, 7],
        "samples": [30, 10, 50, 60, 70],
        "bytes_down": [1000, 1000, 1000, 1000, 1000],
        "bytes_up": [500, 500, 0, 100, 500],
        "load_down": [1000, 1000, 1000, 1000, 1000],
        "load_up": [500, 500, 500, 500, 500],
        "joules": [10.0, 20.0, 1.0, 2.0, 4.0],
    }
    ended = np.zeros(5, ENDED)
    for name, values in columns.items():
        ended[name] = values
    tasks = np.array(
        [
            (7, 9, 7, 6, 0, 3, 30, 1.0, 0.75, 0, 0, 0),
            (7, 2, 7, 5, 0, 4, 10, 1.0, 0.125, 0, 0, 0),
        ],
        TASK,
    )
    metrics = np.array([(7, 2, 1, 0.5, *9 * [0]), (7, 9, 1, 0.25, *9 * [0])], METRIC)  # by client
    plan = Plan(7, tasks, Timeline(100.0, 160.0, 12.5, ended), ClockState(160.0, 7, 3), 40.0)
    return RoundResult(
        plan, metrics, _Tested({"accuracy": 0.875, "f1": 0.75, "loss": 0.4}, CLIENTS)
    )


def nobody(result: RoundResult) -> RoundResult:
    """The same round, in which nobody completed."""
    ended = result.plan.timeline.participants.copy()
    ended["outcome"] = [DROPPED, DROPPED, DROPPED, CUT, STALE]
    plan = replace(
        result.plan,
        tasks=np.empty(0, TASK),
        timeline=replace(result.plan.timeline, participants=ended),
    )
    return RoundResult(plan, np.empty(0, METRIC), None)


def test_participants_stand_in_the_order_of_the_timeline(result: RoundResult) -> None:
    rows = participant_rows(result)
    assert rows["client"].tolist() == [9, 2, 5, 4, 3]
    assert rows["outcome"].tolist() == [0, 0, 1, 2, 3]
    assert rows["round"].tolist() == [7] * 5


@pytest.mark.parametrize(
    "column",
    [
        "base",
        "staleness",
        "start_seconds",
        "download_seconds",
        "compute_seconds",
        "upload_seconds",
        "stop_seconds",
        "steps",
        "samples",
        "bytes_down",
        "bytes_up",
        "joules",
    ],
)
def test_participants_columns_are_those_of_the_timeline(result: RoundResult, column: str) -> None:
    assert np.array_equal(
        participant_rows(result)[column], result.plan.timeline.participants[column]
    )


def test_losses_go_to_their_clients_and_are_nan_for_the_rest(result: RoundResult) -> None:
    loss = participant_rows(result)["loss"]
    assert loss[:2].tolist() == [0.25, 0.5]
    assert np.isnan(loss[2:]).all()


def test_bytes_without_an_exchange_are_those_of_the_share_that_was_sent(
    result: RoundResult,
) -> None:
    row = round_row(result, participant_rows(result), 3, Plain(4000, 3000))
    assert row["plain_bytes_down"] == 5 * 4000
    assert row["plain_bytes_up"] == 3000 + 3000 + 0 + 600 + 3000
    up_alone = round_row(result, participant_rows(result), 3, Plain(None, 3000))
    assert up_alone["plain_bytes_down"] == up_alone["bytes_down"] == 5000


def test_a_round_is_summed_up(result: RoundResult) -> None:
    row = round_row(result, participant_rows(result), 3)
    assert row.shape == (1,)
    assert dict(zip(known(row.dtype.names), row[0].tolist(), strict=True)) == {
        "round": 7,
        "start_seconds": 100.0,
        "end_seconds": 160.0,
        "waited_seconds": 12.5,
        "online": 40.0,
        "wanted": 3,
        "asked": 5,
        "completed": 2,
        "dropped": 1,
        "cut": 1,
        "stale": 1,
        "failed": 0,
        "abandoned": 0,
        "probed": 0,
        "samples": 40,
        "bytes_down": 5000,
        "bytes_up": 1600,
        "plain_bytes_down": 5000,
        "plain_bytes_up": 1600,
        "joules": 37.0,
        "joules_wasted": 7.0,
        "train_loss": pytest.approx((30 * 0.25 + 10 * 0.5) / 40),
        "accuracy": 0.875,
        "top5": UNKNOWN,
        "f1": 0.75,
        "perplexity": UNKNOWN,
        "rmse": UNKNOWN,
        "loss": 0.4,
        "client_accuracy": pytest.approx((0.5 + 1.0) / 2),
        "client_loss": pytest.approx((3.0 + 0.5) / 2),
        "worst_decile_accuracy": 0.5,
        "worst_decile_loss": 3.0,
        "client_accuracy_variance": 0.0625,
    }


def test_clients_are_scored_one_by_one(result: RoundResult) -> None:
    rows = client_rows(result)
    assert rows["round"].tolist() == [7, 7]
    assert rows["client"].tolist() == [3, 5]
    assert rows["scored"].tolist() == [4, 2]
    assert rows["accuracy"].tolist() == [0.5, 1.0]
    assert rows["loss"].tolist() == [3.0, 0.5]


def test_of_a_regression_clients_have_no_accuracy(result: RoundResult) -> None:
    assert result.tested is not None
    tested = replace(result.tested, scores={"rmse": 2.0, "loss": 4.0})
    assert np.isnan(client_rows(replace(result, tested=tested))["accuracy"]).all()


def test_the_worst_decile_is_the_tenth_rounded_up(result: RoundResult) -> None:
    clients = np.zeros(21, CLIENT_TEST)
    clients["client"], clients["scored"], clients["correct"], clients["loss"] = (
        np.arange(21),
        100,
        np.arange(21),
        np.arange(21),
    )
    scored = replace(result, tested=_Tested({"accuracy": 0.1, "loss": 0.1}, clients))
    row = round_row(scored, participant_rows(scored), 3)
    assert row["worst_decile_accuracy"][0] == pytest.approx((0.00 + 0.01 + 0.02) / 3)
    assert row["worst_decile_loss"][0] == pytest.approx((0.20 + 0.19 + 0.18) / 3)


def test_who_failed_did_not_complete(result: RoundResult) -> None:
    metrics = np.array(
        [(7, 2, 0, np.nan, 0, 0, 0, 0, 1, *4 * [0]), (7, 9, 1, 0.25, *9 * [0])], METRIC
    )
    failed = replace(result, metrics=metrics)
    rows = participant_rows(failed)
    assert rows["outcome"].tolist() == [COMPLETED, FAILED, DROPPED, CUT, STALE]
    row = round_row(failed, rows, 3)
    assert (row["completed"][0], row["failed"][0], row["samples"][0]) == (1, 1, 30)
    assert row["train_loss"][0] == 0.25
    assert row["joules_wasted"][0] == 27.0


def test_a_score_that_the_objective_does_not_declare_is_refused_by_its_name(
    result: RoundResult,
) -> None:
    scored = replace(result, tested=_Tested({"recal": 0.1, "loss": 0.1}, CLIENTS))
    said = r"^objective: metrics\(\) returns 'recal', which is not in its measures; .*, recall$"
    with pytest.raises(TrainingError, match=said):
        round_row(scored, participant_rows(scored), 3, own=("recall",))


def test_what_was_not_tested_is_nan(result: RoundResult) -> None:
    row = round_row(replace(result, tested=None), participant_rows(result), 3)
    assert np.isnan(row["accuracy"][0])
    assert np.isnan(row["loss"][0])
    assert np.isfinite(row["train_loss"][0])


def test_a_round_that_nobody_completed(result: RoundResult) -> None:
    result = nobody(result)
    rows = participant_rows(result)
    row = round_row(result, rows, 3)
    assert np.isnan(rows["loss"]).all()
    assert np.isnan(row["train_loss"][0])
    assert (row["asked"][0], row["completed"][0], row["samples"][0]) == (5, 0, 0)
    assert row["bytes_down"][0] == 5000  # traffic counts all the same


def test_outcomes_add_up(result: RoundResult) -> None:
    for round_result in (result, nobody(result)):
        row = round_row(round_result, participant_rows(round_result), 3)
        assert sum(row[outcome.name.lower()] for outcome in Outcome) == row["asked"]


@pytest.mark.parametrize("table", TABLES)
def test_rows_have_the_declared_columns(result: RoundResult, table: str) -> None:
    rows = participant_rows(result)
    losses = np.zeros(1, row_type(TABLES["losses"]))
    made = {
        "participants": rows,
        "rounds": round_row(result, rows, 3),
        "clients": client_rows(result),
        "messages": np.zeros(1, MESSAGES),
        "analytics": analytics_rows(replace(result, found=np.array([(b"mean", 1, 2)], FOUND))),
        "losses": losses,
    }[table]
    assert made.dtype == row_type(TABLES[table])
    assert list(made.dtype.names) == list(TABLES[table])
    assert all(kind.startswith(("<", "|")) or kind == "<u1" for kind, _ in TABLES[table].values())


def test_every_column_says_what_it_is_in() -> None:
    for columns in (ROUND, PARTICIPANT_COLUMNS):
        for name, (_, unit) in columns.items():
            assert unit, name
            if name.endswith("_seconds"):
                assert unit.startswith("s "), name
            if name.startswith("bytes_"):
                assert unit.startswith("B "), name
    for outcome in Outcome:
        assert f"{outcome.value} {outcome.name.lower()}" in PARTICIPANT_COLUMNS["outcome"][1]
