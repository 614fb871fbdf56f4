"""The comparison of runs: means and deviations by numpy, the same numbers in the table, in CSV and in LaTeX."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from mpifl.errors import InputError
from mpifl.record.tables import TABLES, row_type
from mpifl.report.compared import open_runs
from mpifl.report.comparison import Comparison, compare
from mpifl.report.comparison_text import cells, csv_text, latex_text
from mpifl.report.target import Target
from tests.report.made import made_run


def made(
    folder: Path,
    lr: float,
    seed: int,
    accuracy: list[float],
    complete: bool = True,
    final: dict[str, float] | None = None,
) -> None:
    """A run directory with these accuracies: every round takes 10 s, 100 bytes and 1 J."""
    folder.mkdir(parents=True)
    job = {"name": "a_job", "seed": seed, "rounds": 3, "training": {"lr": lr}}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    rows = np.zeros(len(accuracy), row_type(TABLES["rounds"]))
    rows["round"] = np.arange(1, len(accuracy) + 1)
    rows["end_seconds"] = 10.0 * rows["round"]
    rows["accuracy"] = accuracy
    rows["rmse"] = np.nan
    rows["bytes_down"] = 100
    rows["joules"] = 1.0
    with h5py.File(folder / "run.h5", "w", libver="latest") as file:
        file["rounds"] = rows
    if complete:
        summary = {"virtual_seconds": 30.0 + seed, "bytes_down": 300, "bytes_up": seed}
        more = {"joules": 3.0, "wall_seconds": 2.0, "final": final or {}}
        (folder / "summary.json").write_text(json.dumps(summary | more))


ACCURACY = {1: [0.2, 0.9, 0.7], 2: [0.4, 0.5, 0.8], 3: [0.1, np.nan, 0.3]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, accuracy in ACCURACY.items():
        made(tmp_path / f"a{seed}", 0.1, seed, accuracy)
    made(tmp_path / "b1", 0.2, 1, [0.6, 0.65])
    made(tmp_path / "b2", 0.2, 2, [0.99], complete=False)
    return tmp_path


def compared(folder: Path, target: Target | None = None) -> Comparison:
    return compare(open_runs([folder]), None, target)


def test_a_row_is_mean_and_deviation_over_the_seeds(folder: Path) -> None:
    first, second = compared(folder).rows
    for name, pick in (("final", lambda a: a[-1]), ("best", np.nanmax)):
        numbers = [pick(accuracy) for accuracy in ACCURACY.values()]
        found = first.results[name]
        assert found is not None
        assert found.mean == pytest.approx(np.mean(numbers), abs=1e-15)
        assert found.deviation == pytest.approx(np.std(numbers, ddof=1), abs=1e-15)
    virtual = first.results["virtual_seconds"]
    assert virtual is not None
    assert (virtual.mean, virtual.deviation, virtual.count) == (32.0, 1.0, 3)
    assert (second.runs, second.complete) == (2, 1)
    assert second.results["final"].deviation is None  # type: ignore[union-attr]


def test_what_it_took_to_reach_a_target_is_of_those_that_reached_it(folder: Path) -> None:
    first, second = compared(folder, Target("accuracy", 0.75)).rows
    assert first.reached == 2
    assert first.to_target["rounds"].mean == 2.5  # type: ignore[union-attr]
    assert first.to_target["virtual_seconds"].mean == 25.0  # type: ignore[union-attr]
    assert first.to_target["bytes"].mean == 250.0  # type: ignore[union-attr]
    assert second.reached == 0
    assert second.to_target["rounds"] is None


def test_the_table_says_what_people_ask(folder: Path) -> None:
    headings, rows = cells(compared(folder, Target("accuracy", 0.75)))
    table = [dict(zip(headings, row, strict=True)) for row in rows]
    assert table[0] == {
        "lr": "0.1",
        "runs": "3",
        "final accuracy": "0.6000 ± 0.2646",
        "best": "0.6667 ± 0.3215",
        "rounds done": "3",
        "virtual time": "32.0 s",
        "traffic": "302 bytes",
        "energy": "3 J",
        "wall time": "2.0 s",
        "reached 0.75": "2 of 3",
        "rounds to 0.75": "2.5",
        "virtual time to 0.75": "25.0 s",
    }
    assert (table[1]["runs"], table[1]["reached 0.75"]) == ("1 of 2", "0 of 1")
    assert table[1]["rounds to 0.75"] == "-"


def test_what_attackers_got_is_a_column_where_there_are_some(tmp_path: Path) -> None:
    made(tmp_path / "a", 0.1, 1, [0.5], final={"attack_success": 0.25})
    made(tmp_path / "b", 0.2, 1, [0.5])
    comparison = compared(tmp_path)
    headings, rows = cells(comparison)
    at = headings.index("attack success")
    assert [row[at] for row in rows] == ["0.2500", "-"]
    written = list(csv.DictReader(io.StringIO(csv_text(comparison))))
    assert [row["attack_success_mean"] for row in written] == ["0.25", ""]


def test_what_was_spent_is_a_column_where_there_is_privacy(tmp_path: Path) -> None:
    for folder, spent in (("a", 2.5), ("b", None)):
        made(tmp_path / folder, 0.1 if spent else 0.2, 1, [0.5])
        summary = json.loads((tmp_path / folder / "summary.json").read_text())
        (tmp_path / folder / "summary.json").write_text(json.dumps({**summary, "epsilon": spent}))
    headings, rows = cells(compared(tmp_path))
    assert [row[headings.index("epsilon")] for row in rows] == ["2.5000", "-"]


def test_csv_has_the_numbers_in_full(folder: Path) -> None:
    comparison = compared(folder, Target("accuracy", 0.75))
    rows = list(csv.DictReader(io.StringIO(csv_text(comparison))))
    final = comparison.rows[0].results["final"]
    assert final is not None
    assert float(rows[0]["final_mean"]) == final.mean
    assert float(rows[0]["final_sd"]) == final.deviation
    assert rows[0]["training.lr"] == "0.1"
    assert (rows[0]["reached"], rows[0]["target"]) == ("2", "0.75")
    assert rows[1]["final_sd"] == rows[1]["to_rounds_mean"] == ""


def test_latex_has_the_table_and_no_name_is_a_command(tmp_path: Path) -> None:
    made(tmp_path / "a", 0.1, 1, [0.5])
    comparison = compared(tmp_path)
    text = latex_text(comparison)
    assert text.startswith("\\begin{tabular}{lrrrrrrrr}\n\\toprule\njob & runs & final accuracy")
    assert "\na\\_job & 1 & 0.5000 & 0.5000 & 1 &" in text
    assert text.endswith(" \\\\\n\\bottomrule\n\\end{tabular}\n")


def test_no_value_is_a_formula_of_a_spreadsheet_or_an_option_of_a_line_of_latex(
    tmp_path: Path,
) -> None:
    for name, hidden in (("=1+1", [8]), ("b", [9, 9])):
        made_run(tmp_path / name[-1], {"model": {"hidden": hidden, "kind": name}})
    found = compare(open_runs([tmp_path]), None, None)
    rows = list(csv.reader(io.StringIO(csv_text(found))))
    assert [row[:2] for row in rows[1:]] == [["[8]", "'=1+1"], ["[9, 9]", "b"]]
    lines = latex_text(found).splitlines()
    assert [line.split(" & ")[0] for line in lines[4:6]] == ["{[}8]", "{[}9, 9]"]


def test_a_metric_that_no_run_has_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="--target: rmse: no run was tested for it"):
        compared(folder, Target("rmse", 0.1))
    with pytest.raises(InputError, match="--metric: 'x' is no metric"):
        compare(open_runs([folder]), "x", None)


def test_runs_that_are_not_complete_are_rows_without_numbers(tmp_path: Path) -> None:
    made(tmp_path / "a", 0.1, 1, [0.5], complete=False)
    _, rows = cells(compared(tmp_path, Target("accuracy", 0.5)))
    assert rows[0][:2] == ["a_job", "0 of 1"]
    assert set(rows[0][2:]) == {"-", "0 of 0"}


@pytest.mark.parametrize(
    ("metric", "target", "lower"),
    [
        (None, None, ()),
        ("own", None, ("own",)),
        ("own", Target("own", 2.5), ("own",)),
        ("loss", Target("own", 2.5), ("own",)),
        ("auc", Target("rmse", 1.0), ()),
    ],
)
@pytest.mark.parametrize("higher", [None, [], ["own"]])
def test_an_objective_s_own_metric_is_better_the_way_that_its_runs_say(
    folder: Path,
    metric: str | None,
    target: Target | None,
    lower: tuple[str, ...],
    higher: list[str] | None,
) -> None:
    for number, run in enumerate(open_runs([folder])):
        with h5py.File(run.folder / "run.h5", "r+") as file:
            rows = file["rounds"][:]
            del file["rounds"]
            own = np.zeros(len(rows), [*rows.dtype.descr, ("own", "<f8")])
            for name in rows.dtype.names:
                own[name] = rows[name]
            own["rmse"] = 0.5
            own["own"] = np.arange(len(rows), 0, -1) + number
            file["rounds"] = own
            if higher is not None:
                file.attrs["higher_is_better"] = [*higher, "accuracy"]
    made = compare(open_runs([folder]), metric, target)
    assert made.lower == (() if higher else lower)
    if metric == "own":
        # 3, 2, 1 of the first run, and 1 more of each further one
        best = made.rows[0].results["best"]
        assert best is not None
        assert best.mean == np.mean([3, 4, 5] if higher else [1, 2, 3])
    if target is not None and target.metric == "own":
        met = [row.reached for row in made.rows]
        assert met == ([3, 1] if higher else [2, 0])
        if not higher:
            assert made.rows[0].to_target["rounds"].mean == 2.5  # type: ignore[union-attr]
