"""What ranks report of themselves, and what is said of ranks that do not compute alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mpifl
from mpifl.cluster.rank_report import Report, check_reports, check_resumed, rank_groups, rank_report
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    found, _ = check_job("quickstart", ["rounds=1"])
    assert isinstance(found, Experiment)
    return found


@pytest.fixture(scope="module")
def strict() -> TimingExperiment:
    return check_job("quickstart", ["rounds=1", "runtime.require_same_processors=true"])[0]


def report(
    host: str = "a",
    capability: str = "AVX512",
    model: str = "1",
    job: str | None = "j",
    **settings: str,
) -> Report:
    computes_with = {"processor": "X", "CPU capability": capability, **settings}
    return {
        "host": host,
        "computes_with": computes_with,
        "model": {"layers": "0", "buffers": model},
        "job": job,
    }


def test_a_report_names_all_that_changes_bits(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    (tmp_path / "job.yaml").write_text("a: 1")
    found = json.loads(json.dumps(rank_report(experiment, tmp_path / "job.yaml")))
    wanted = {
        "processor",
        "CPU capability",
        "mpifl",
        "python",
        "torch",
        "numpy",
        "numba",
        "MKL",
        "oneDNN",
        "threads",
        "MKL_CBWR",
    }
    assert wanted <= set(found["computes_with"])
    assert found["computes_with"]["MKL_CBWR"] == "AVX2"
    assert found["model"] == experiment.fingerprint
    assert rank_report(experiment, tmp_path / "job.yaml") == found
    (tmp_path / "job.yaml").write_text("a: 2")
    assert rank_report(experiment, tmp_path / "job.yaml")["job"] != found["job"]
    assert rank_report(experiment, tmp_path / "other.yaml")["job"] is None


def test_a_run_that_only_times_has_versions_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed, _ = check_job("reddit-timing", ["rounds=1"])
    before = rank_report(timed, tmp_path / "job.yaml")
    assert before["computes_with"].keys() == {"mpifl", "python", "numpy", "numba"}
    assert before["model"] == {}

    monkeypatch.setattr("mpifl.cluster.rank_report.__version__", "0.0.7")
    now = rank_report(timed, tmp_path / "job.yaml")
    path = written(tmp_path, {"ranks": rank_groups([before])})
    (line,) = check_resumed([now], path, required=False)
    assert f"mpifl 0.0.7 (when the run began: {mpifl.__version__})" in line


def test_equal_ranks_on_several_hosts_give_no_line(
    experiment: TimingExperiment, strict: TimingExperiment
) -> None:
    reports = [report("a"), report("a"), report("b")]
    assert check_reports(reports, experiment, recovers=True) == []
    assert check_reports(reports, strict, recovers=True) == []


def test_ranks_that_compute_otherwise_are_named_in_one_line(
    experiment: TimingExperiment, strict: TimingExperiment
) -> None:
    other = [report("b", "AVX2"), report("c", "AVX2"), report("c", "AVX2")]
    reports = [report(), report(), *other, report(MKL_CBWR="AVX2")]
    (line,) = check_reports(reports, experiment, recovers=True)
    assert "rank 2-4 (host b, c) has CPU capability AVX2 (rank 0: AVX512)" in line
    assert "rank 5 (host a) has MKL_CBWR AVX2 (rank 0: not set)" in line
    assert "runtime.require_same_processors" in line
    with pytest.raises(
        InputError,
        match=r"require_same_processors: .* rank 2-4 \(host b, c\) has CPU capability AVX2",
    ):
        check_reports(reports, strict, recovers=True)


def test_another_model_is_always_refused(experiment: TimingExperiment) -> None:
    with pytest.raises(
        InputError,
        match=r"rank 2 \(host b\) has built another model than rank 0: it differs in buffers",
    ):
        check_reports([report(), report(), report("b", model="2")], experiment, recovers=False)


def test_ranks_that_do_not_see_the_run_directory(experiment: TimingExperiment) -> None:
    reports = [report(), report("b", job=None), report("b", job="another run's")]
    (line,) = check_reports(reports, experiment, recovers=True)
    assert line.startswith("rank 1-2 (host b) does not see the run directory of rank 0")
    assert check_reports(reports, experiment, recovers=False) == []
    scaffold, _ = check_job("quickstart", ["rounds=1", "algorithm=scaffold"])
    with pytest.raises(
        InputError, match=r"--out: rank 1-2 \(host b\) does not see .* the clients of scaffold keep"
    ):
        check_reports(reports, scaffold, recovers=False)


def test_groups_hold_every_rank_once() -> None:
    groups = rank_groups(
        [report(), report("b", "AVX2"), report("b"), report("b"), report("c", "AVX2")]
    )
    assert [(group["ranks"], group["hosts"]) for group in groups] == [
        ("0, 2-3", {"a": 1, "b": 2}),
        ("1, 4", {"b": 1, "c": 1}),
    ]
    assert [group["computes_with"]["CPU capability"] for group in groups] == ["AVX512", "AVX2"]


def written(folder: Path, content: Any) -> Path:
    path = folder / "environment.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_resume_on_other_processors_is_told(tmp_path: Path) -> None:
    before = written(tmp_path, {"ranks": rank_groups([report(), report("b", "AVX2")])})
    assert check_resumed([report("c"), report("c", "AVX2")], before, required=True) == []
    (line,) = check_resumed([report(), report("c", "DEFAULT")], before, required=False)
    assert "CPU capability DEFAULT (when the run began: AVX512)" in line
    with pytest.raises(
        InputError, match="require_same_processors: the run began on ranks that compute differently"
    ):
        check_resumed([report("c", "DEFAULT")], before, required=True)


@pytest.mark.parametrize("content", ["{", "[]", "{}", {"ranks": 3}, {"ranks": [{}]}])
def test_an_environment_that_does_not_say_gives_no_line(tmp_path: Path, content: Any) -> None:
    assert check_resumed([report()], written(tmp_path, content), required=True) == []
    assert check_resumed([report()], tmp_path / "none.json", required=True) == []
