from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.record.load import load_run
from mpifl.record.tables import TABLES, row_type
from mpifl.report.target import (
    Reached,
    Target,
    best,
    check_metric,
    lower_in,
    main_metric,
    parse_target,
    reached,
)
from tests.report.made import made_run, random_rounds


def rounds(**columns: list[float]) -> np.ndarray:
    count = len(next(iter(columns.values())))
    rows = np.zeros(count, row_type(TABLES["rounds"]))
    for name in rows.dtype.names or ():
        if rows.dtype[name].kind == "f":
            rows[name] = np.nan
    rows["round"] = np.arange(1, count + 1)
    rows["end_seconds"] = 10.0 * rows["round"]
    rows["bytes_down"] = 100
    rows["bytes_up"] = 1
    rows["joules"] = 0.5
    for name, values in columns.items():
        rows[name] = values
    return rows


def test_a_target_is_reached_at_the_first_test_that_meets_it() -> None:
    rows = rounds(accuracy=[0.1, np.nan, 0.9, 0.2, 0.95])
    assert reached(rows, Target("accuracy", 0.9), lower=False) == Reached(3, 30.0, 303, 1.5)
    assert reached(rows, Target("accuracy", 0.96), lower=False) is None
    assert best(rows, "accuracy", lower=False) == 0.95


def test_a_loss_is_to_come_down_to_its_target() -> None:
    rows = rounds(loss=[3.0, 2.0, 1.0])
    found = reached(rows, Target("loss", 2.5), lower=True)
    assert found is not None
    assert found.round == 2
    assert best(rows, "loss", lower=True) == 1.0


def test_the_main_metric_is_the_task_s_own() -> None:
    assert main_metric(rounds(accuracy=[np.nan, 0.5], loss=[1.0, 1.0])) == "accuracy"
    assert main_metric(rounds(rmse=[2.0], loss=[4.0])) == "rmse"
    assert main_metric(rounds(loss=[np.nan])) is None
    assert np.isnan(best(rounds(loss=[np.nan]), "loss", lower=True))


@pytest.mark.parametrize(
    "text", ["accuracy", "0.4", "accuracy=", "accuracy=high", "accuracy=nan", "f1=90"]
)
def test_a_wrong_target_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="--target: "):
        parse_target(text)


def test_a_target_is_a_metric_and_a_number() -> None:
    assert parse_target("loss=0.5") == Target("loss", 0.5)


def test_metrics_are_those_of_mpifl_and_of_the_runs_objectives(tmp_path: Path) -> None:
    plain = random_rounds(3)
    columns = [*plain.dtype.descr, ("wer", "<f8"), ("attackers", "<i8")]
    own = np.zeros(3, columns)
    runs = [
        load_run(made_run(tmp_path / name, rounds=rows))
        for name, rows in (("plain", plain), ("own", own))
    ]
    for known in ("accuracy", "client_loss", "miou", "wer"):
        check_metric("--metric", known, runs)
    for unknown in ("acc", "attackers", "train_loss"):
        with pytest.raises(InputError, match=f"--metric: '{unknown}' is no metric;.* wer$"):
            check_metric("--metric", unknown, runs)
    with pytest.raises(InputError, match="'wer' is no metric"):
        check_metric("--metric", "wer", runs[:1])


def test_which_way_is_better_is_what_the_runs_say(tmp_path: Path) -> None:
    rows = np.zeros(3, [*random_rounds(3).dtype.descr, ("own", "<f8"), ("auc", "<f8")])
    told = {"old": None, "up": ["accuracy", "auc", "own"], "down": ["accuracy", "auc"]}
    runs = {}
    for name, higher in told.items():
        runs[name] = load_run(made_run(tmp_path / name, rounds=rows))
        with h5py.File(tmp_path / name / "run.h5", "r+") as file:
            if higher is not None:
                file.attrs["higher_is_better"] = higher

    # what mpifl knows by name needs no run that says it
    assert [lower_in(name, []) for name in ("auc", "accuracy", "loss", "own")] == [0, 0, 1, 1]
    for run in runs.values():
        assert [lower_in(name, [run]) for name in ("auc", "accuracy", "loss")] == [0, 0, 1]

    assert "own" not in runs["old"].higher_is_better
    assert [lower_in("own", [run]) for run in runs.values()] == [True, False, True]
    assert lower_in("own", [runs["old"], runs["up"]]) is False
    assert lower_in("own", [runs["down"], runs["old"]]) is True
    for pair in (["up", "down"], ["down", "old", "up"]):
        with pytest.raises(InputError) as refused:
            lower_in("own", [runs[name] for name in pair])
        (line,) = refused.value.lines
        ways = ("higher", "lower") if pair[0] == "up" else ("lower", "higher")
        assert line.startswith(
            f"own: the {ways[0]} value is the better one in {tmp_path / pair[0]}, and the"
            f" {ways[1]} one in {tmp_path / pair[-1]}; "
        )
        assert lower_in("auc", [runs[name] for name in pair]) is False
