"""A plug-in's own measures: of one more is better, of its opposite less. What asks for a metric takes each the right way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpifl import load_run
from mpifl.errors import InputError
from mpifl.report.charts.time_to_target import chart
from mpifl.report.comparison import compare
from mpifl.report.material import material
from mpifl.report.target import Target
from mpifl.rounds.experiment.build_experiment import check_job
from tests.launching import Finished, mpirun, process_of, python, take_up
from tests.mean_recall import HERE

ROUNDS = 14
JOB = ("quickstart", f"rounds={ROUNDS}", "checkpoint.every=1", f"objective.name={HERE}:Recall")
SILENT = (*JOB, f"objective.name={HERE}:Silent")
AT = {"mean_recall": 0.55, "miss": 0.45}
"""The same target twice."""

WAYS = {"at": "at: {at}", "patience": "patience: 2"}


def stopping(metric: str, way: str) -> tuple[str, ...]:
    told = WAYS[way].format(at=AT[metric])
    return (*JOB, f"stop={{metric: {metric}, {told}}}")


def end(recalls: list[float], way: str) -> int:
    """After which round the mean recalls of a run's rounds end it: docs/job.md, said again."""
    if way == "at":
        return next(number for number, one in enumerate(recalls, 1) if one >= AT["mean_recall"])
    tops = np.maximum.accumulate(recalls)
    return next(
        number
        for number in range(3, len(recalls) + 1)
        if tops[number - 1] == tops[number - 2] == tops[number - 3]
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("metric", AT)
@pytest.mark.runs((1,), JOB)
@pytest.mark.runs((1, 3), stopping)
def test_a_run_is_stopped_by_its_objective_s_own_measure_alike_at_1_and_3_ranks(
    runs: list[Finished], metric: str, way: str
) -> None:
    whole, one, three = runs
    recalls = whole.table("rounds")["mean_recall"].tolist()
    wanted = end(recalls, way)
    assert 3 < wanted < ROUNDS
    for run in (one, three):
        assert (run.summary["rounds"], run.summary["stopped_by"]) == (wanted, f"stop.{way}")
        assert run.table("rounds").tobytes() == whole.table("rounds")[:wanted].tobytes()
    assert one.summary["model_sha256"] == three.summary["model_sha256"]


@pytest.mark.parametrize("metric", AT)
@pytest.mark.runs((3,), lambda metric: stopping(metric, "patience"))
def test_a_killed_run_is_stopped_by_patience_where_it_would_have_been(
    runs: list[Finished], metric: str, tmp_path: Path
) -> None:
    """It is killed when the test before the last one did not count as better."""
    (whole,) = runs
    out = str(tmp_path / "x")
    line = [*python(), "-m", "mpifl.run", *stopping(metric, "patience"), "--out", out]
    last = whole.summary["rounds"] - 1
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith(f"round {last}/"):
                os.kill(process_of(process.pid), signal.SIGKILL)
    resumed = [*python(), "-m", "mpifl.run", "--resume", out]
    subprocess.run(resumed, check=True, capture_output=True, timeout=300)
    again = load_run(out)
    assert again.summary["stopped_by"] == "stop.patience"
    assert again.summary["model_sha256"] == whole.summary["model_sha256"]
    assert again.rounds.tobytes() == whole.table("rounds").tobytes()


@pytest.mark.parametrize("metric", AT)
@pytest.mark.runs((1,), lambda metric: stopping(metric, "at"), lambda metric: JOB)
def test_a_stopped_run_goes_on_to_a_further_target_and_not_to_a_nearer_one(
    runs: list[Finished], metric: str, tmp_path: Path
) -> None:
    short, whole = runs
    copy = replace(short, folder=tmp_path / "copy")
    shutil.copytree(short.folder, copy.folder)
    nearer, further = (0.4, 0.7) if metric == "mean_recall" else (0.6, 0.3)
    refused = mpirun(1, ["mpifl.run", f"stop.at={nearer}", "--resume", str(copy.folder)], tmp_path)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "stop.at is met after round" in refused.stderr

    (again,) = take_up(2, [copy], f"stop.at={further}")
    assert again.status == 0, again.stderr
    recalls = whole.table("rounds")["mean_recall"]
    wanted = next(number for number, one in enumerate(recalls.tolist(), 1) if one >= 0.7)
    assert short.summary["rounds"] < wanted < ROUNDS
    assert again.table("rounds").tobytes() == whole.table("rounds")[:wanted].tobytes()


@pytest.mark.parametrize("metric", AT)
@pytest.mark.runs((1,), JOB)
def test_it_is_compared_and_drawn_the_right_way(runs: list[Finished], metric: str) -> None:
    run = load_run(runs[0].folder)
    values = run.rounds[metric]
    higher = metric == "mean_recall"
    assert run.higher_is_better[metric] is higher
    target = Target(metric, AT[metric])
    made = compare([run], metric, target)
    (row,) = made.rows
    assert row.results["best"].mean == (values.max() if higher else values.min())  # type: ignore[union-attr]
    met = values >= AT[metric] if higher else values <= AT[metric]
    assert 3 < np.argmax(met) < ROUNDS - 1
    assert row.to_target["rounds"].mean == 1 + np.argmax(met)  # type: ignore[union-attr]
    assert made.lower == (() if higher else ("miss",))

    (first, *_) = chart(material([run], target)).rows
    assert first[0] == f"{metric} {'at least' if higher else 'at most'} {AT[metric]:g}"
    assert float(first[3]) == 1 + np.argmax(met)
    ways = [float(str(row[0]).split()[-1]) for row in chart(material([run], metric=metric)).rows]
    assert ways == sorted(ways, reverse=not higher)
    assert min(ways) > values.min() if higher else max(ways) < values.max()


@pytest.mark.runs((1,), JOB, SILENT)
def test_two_runs_that_disagree_are_one_line_that_names_both(
    runs: list[Finished], tmp_path: Path
) -> None:
    said, silent = (str(run.folder) for run in runs)
    page = ["report", "-o", str(tmp_path / "x.html")]
    for words in (["compare"], page):
        line = ["mpifl", *words, said, silent, "--target", "mean_recall=0.5"]
        done = subprocess.run(
            [*python(), "-m", *line], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 2
        (told,) = done.stderr.splitlines()
        assert told.startswith("mpifl: mean_recall: the higher value is the better one in ")
        assert said in told
        assert silent in told
        assert not (tmp_path / "x.html").exists()
    compare([load_run(said), load_run(silent)], "miss", Target("accuracy", 0.5))


CONTRIBUTING = (
    *("rounds=2", "data.partition={name: iid, clients: 30}", "selection.participants=4"),
    "contribution.name=leave_one_out",
)


def contributing(metric: str) -> tuple[str, ...]:
    return (*JOB, *CONTRIBUTING, f"contribution.metric={metric}")


@pytest.mark.runs((1, 2), contributing("mean_recall"))
@pytest.mark.runs((1,), contributing("miss"))
def test_a_contribution_is_what_it_adds_to_a_recall_or_takes_from_a_miss(
    runs: list[Finished],
) -> None:
    assert [run.status for run in runs] == [0, 0, 0], runs[0].stderr
    one, two, miss = (run.table("participants")["contribution"] for run in runs)
    assert one.tobytes() == two.tobytes()
    np.testing.assert_allclose(miss, one, rtol=0, atol=1e-12)
    assert np.nanmax(np.abs(one)) > 0.001

    recall, _, missed = (run.table("rounds") for run in runs)
    assert recall["utility_after"].tolist() == recall["mean_recall"].tolist()
    assert missed["utility_after"].tolist() == (-missed["miss"]).tolist()


@pytest.mark.runs((1,), JOB)
def test_the_terminal_shows_it_in_each_round_and_at_the_end(runs: list[Finished]) -> None:
    final = runs[0].summary["final"]
    told = f"loss {final['loss']:.4f}, mean_recall {final['mean_recall']:.4f}, miss "
    lines = [line for line in runs[0].stdout.splitlines() if told in line]
    assert [line.partition(" ")[0] for line in lines] == ["round", "accuracy"]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("mean_recal", "; did you mean mean_recall? allowed: accuracy, "),
        ("recall_at_k", "; allowed: accuracy, top5, f1, loss, mean_recall, miss"),
        ("client_loss", " (of single clients with evaluation.per_client or personal); allowed: "),
        ("bytes_up", "; allowed: accuracy, top5, f1, loss, mean_recall, miss"),
    ],
)
def test_a_metric_that_the_tests_do_not_give_is_refused_in_a_line(metric: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        check_job(JOB[0], [*JOB[1:], f"stop={{metric: {metric}, at: 0.5}}"])
    (line,) = refused.value.lines
    assert line.startswith(f"stop.metric: {metric!r} is not what this job's tests give{said}")
