"""Contributions: the same bits on any number of ranks, and what they are against other runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.launching import Finished, resume_runs
from tests.normed import HERE

JOB = (
    "quickstart",
    "rounds=4",
    "data.partition={name: iid, clients: 30}",
    "selection.participants=4",
    "checkpoint.every=2",
    "checkpoint.keep=4",
)
METHODS = {
    "mr_shapley": (),
    "gtg_shapley": ("contribution.round_tolerance=0",),
    "leave_one_out": (
        "contribution.metric=loss",
        "contribution.samples=100",
        "contribution.every=2",
        f"model={{name: {HERE}:Normed, hidden: [32]}}",
        "clock={mode: buffered, concurrency: 8}",
        "attacks=[{name: alie, share: 0.3, knows: all, z: 1.5}]",
    ),
}


def by(method: str) -> tuple[str, ...]:
    return (*JOB, f"contribution.name={method}", *METHODS[method])


def assert_same(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["model_sha256"] == runs[0].summary["model_sha256"]
        for table in ("rounds", "participants"):
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.runs((1, 3), by)
def test_contributions_are_the_same_on_any_number_of_ranks(
    runs: list[Finished], method: str
) -> None:
    assert_same(runs)
    rows = runs[0].table("participants")
    judged = rows["round"] % 2 == 0 if method == "leave_one_out" else rows["round"] > 0
    done = (rows["outcome"] == 0) & judged
    assert np.isfinite(rows["contribution"][done]).all()
    assert np.isnan(rows["contribution"][~done]).all()
    assert np.count_nonzero(rows["contribution"][done]) > 4


@pytest.mark.runs((1,), JOB, by("mr_shapley"))
def test_contributions_leave_the_model_as_it_is_and_add_up_to_its_gain(
    runs: list[Finished],
) -> None:
    plain, judged = runs
    assert judged.summary["model_sha256"] == plain.summary["model_sha256"]
    assert judged.summary["final"] == plain.summary["final"]

    rounds, rows = judged.table("rounds"), judged.table("participants")
    assert rounds["utility_after"].tolist() == rounds["accuracy"].tolist()
    assert rounds["utility_before"][1:].tolist() == rounds["accuracy"][:-1].tolist()
    assert rounds["evaluations"].tolist() == [16] * 4
    for row in rounds:
        own = rows[(rows["round"] == row["round"]) & (rows["outcome"] == 0)]
        gain = row["utility_after"] - row["utility_before"]
        assert own["contribution"].sum() == pytest.approx(gain)


@pytest.mark.runs((1, 2), by("leave_one_out"))
def test_two_ranks_share_the_tests_too(runs: list[Finished]) -> None:
    assert_same(runs)


TWO = (*JOB, "rounds=1", "data.partition={name: iid, clients: 2}", "clock.overcommitment=1")


@pytest.mark.runs(
    (1,),
    (*TWO, "selection.participants=2", "contribution=leave_one_out"),
    (*TWO, "selection.participants=1"),
)
def test_what_a_client_is_worth_is_what_a_run_without_it_lacks(runs: list[Finished]) -> None:
    both, alone = runs
    (there,) = alone.table("participants")["client"].tolist()
    rows = both.table("participants")
    lacks = both.table("rounds")["accuracy"][0] - alone.table("rounds")["accuracy"][0]
    assert rows["contribution"][rows["client"] != there].tolist() == [lacks]


@pytest.mark.runs((1,), by("leave_one_out"))
def test_a_run_goes_on_with_contributions(runs: list[Finished], tmp_path: Path) -> None:
    (whole,) = runs
    copy = replace(whole, folder=tmp_path / "copy")
    shutil.copytree(whole.folder, copy.folder)
    (again,) = resume_runs(3, [copy])
    assert again.summary["resumed_from"] == 2
    assert_same([whole, again])


REFUSED = {
    "with aggregation.name median": ("mr_shapley", "aggregation=median"),
    "with algorithm.name fedadam": ("mr_shapley", "algorithm=fedadam"),
    "with secure_aggregation.name secagg": ("mr_shapley", "secure_aggregation=secagg"),
    "with privacy.name gaussian": (
        "mr_shapley",
        "privacy={name: gaussian, noise_multiplier: 1}",
        "exchange.up=[{name: clip, norm: 1}]",
        "selection=uniform",
        "selection.participants=4",
    ),
    "selection.participants: 17 is not allowed": ("mr_shapley", "selection.participants=17"),
    "clock.mode: 'semisync' is not allowed with contribution.name mr_shapley": (
        "mr_shapley",
        "clock={mode: semisync, window_seconds: 60, concurrency: 17}",
    ),
    "coalitions: 17 may complete a round": (
        "mr_shapley",
        "clock={mode: deadline, seconds: 60, overcommitment: 2.1}",
        "selection=uniform",
        "selection.participants=8",
    ),
    "selection.name: 'poisson' is not allowed with contribution.name mr_shapley": (
        "mr_shapley",
        "clock={mode: all}",
        "selection={name: poisson, participants: 3}",
    ),
    "contribution.metric: 'rmse' is not what": ("mr_shapley", "contribution.metric=rmse"),
    "contribution.part: digits has no validation": ("mr_shapley", "contribution.part=validation"),
    "contribution.samples: 5000 is not allowed": ("mr_shapley", "contribution.samples=5000"),
    "with record.participants sample": ("mr_shapley", "record.participants=sample"),
    "contribution.name: 'shapley' is not known": ("shapley",),
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_job_whose_contributions_cannot_be_evaluated_is_refused_in_a_line(said: str) -> None:
    name, *changes = REFUSED[said]
    with pytest.raises(InputError) as caught:
        check_job(JOB[0], [*JOB[1:], f"contribution.name={name}", *changes])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
