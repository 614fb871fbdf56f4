from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpifl.errors import InputError
from mpifl.job.flat import flat
from mpifl.report.compared import differences, groups, open_runs

JOB: dict[str, Any] = {
    "name": "job",
    "seed": 1,
    "rounds": 3,
    "data": {"name": "a.h5"},
    "training": {"lr": 0.1},
    "algorithm": {"name": "fedavg", "server_lr": 1.0},
    "record": {"participants": "all"},
}


def made(
    folder: Path,
    content: str = "0" * 64,
    source: str | None = None,
    hashes: dict[str, str] | None = None,
    **changes: Any,
) -> Path:
    folder.mkdir(parents=True)
    (folder / "job.yaml").write_text(yaml.safe_dump({**JOB, **changes}, sort_keys=False))
    facts = {"algorithm.name": {"sha256": source}} if source else {}
    contents = {"data": content, **(hashes or {})}
    environment = {"content_sha256": contents, "plug_ins": facts}
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


def labels(folder: Path) -> dict[str, list[str]]:
    return {
        group.label: [run.folder.name for run in group.runs]
        for group in groups(open_runs([folder]))
    }


def test_runs_that_differ_in_seed_name_and_what_is_recorded_are_one_group(tmp_path: Path) -> None:
    made(tmp_path / "b", seed=2)
    made(tmp_path / "a", seed=3, name="other", record={"participants": "none"})
    made(tmp_path / "c", seed=1)
    assert labels(tmp_path) == {"other": ["c", "b", "a"]}


def test_groups_are_labelled_by_the_keys_in_which_they_differ(tmp_path: Path) -> None:
    made(tmp_path / "a")
    made(tmp_path / "b", training={"lr": 0.2})
    prox = {"name": "fedprox", "server_lr": 1.0, "mu": 0.01}
    made(tmp_path / "c", algorithm=prox)
    assert labels(tmp_path) == {
        "training.lr=0.1, algorithm=fedavg": ["a"],
        "training.lr=0.2, algorithm=fedavg": ["b"],
        "training.lr=0.1, algorithm=fedprox": ["c"],
    }

    made(tmp_path / "d", algorithm={**prox, "mu": 1.0})
    assert "training.lr=0.1, algorithm=fedprox, algorithm.mu=1.0" in labels(tmp_path)


def test_an_option_that_another_name_has_another_default_of_is_left_out(tmp_path: Path) -> None:
    made(tmp_path / "a")
    made(tmp_path / "b", algorithm={"name": "fedyogi", "server_lr": 0.01})
    assert list(labels(tmp_path)) == ["algorithm=fedavg", "algorithm=fedyogi"]

    made(tmp_path / "c", algorithm={"name": "fedyogi", "server_lr": 0.1})
    assert "algorithm=fedyogi, algorithm.server_lr=0.1" in labels(tmp_path)


def test_a_list_of_parts_is_their_names_and_the_options_they_have(tmp_path: Path) -> None:
    flip = {"name": "sign_flip", "share": 0.2, "clients": None}
    made(tmp_path / "a", attacks=[])
    made(tmp_path / "b", attacks=[flip])
    made(tmp_path / "c", attacks=[flip, {"name": "zero"}])
    assert labels(tmp_path) == {
        "attacks=[]": ["a"],
        "attacks=sign_flip(share=0.2)": ["b"],
        "attacks=sign_flip(share=0.2) + zero": ["c"],
    }


def test_a_key_that_only_one_group_has_tells_groups_apart_where_nothing_else_does(
    tmp_path: Path,
) -> None:
    made(tmp_path / "a")
    made(tmp_path / "b", stop={"at": 0.9})
    assert labels(tmp_path) == {"stop.at=null": ["a"], "stop.at=0.9": ["b"]}


def test_data_count_by_content_and_plug_ins_by_source(tmp_path: Path) -> None:
    made(tmp_path / "1" / "a")
    made(tmp_path / "1" / "b", data={"name": "copy.h5"})
    assert list(labels(tmp_path / "1")) == ["job"]

    folder = tmp_path / "2"
    made(folder / "a")
    made(folder / "b", content="1" * 64, data={"name": "b.h5"})
    assert list(labels(folder)) == ["data=a.h5", "data=b.h5"]

    folder = tmp_path / "3"
    made(folder / "a", source="a" * 64)
    made(folder / "b", source="b" * 64)
    assert list(labels(folder)) == [f"plug_ins.algorithm={letter * 12}" for letter in "ab"]


def test_a_plug_in_is_named_without_the_folder_of_its_copy(tmp_path: Path) -> None:
    made(tmp_path / "a")
    made(tmp_path / "b", algorithm={"name": "plugins/algorithm/mine.py:Mine"}, source="1" * 64)
    assert "algorithm=mine.py:Mine" in " ".join(labels(tmp_path))
    assert "plugins/" not in " ".join(labels(tmp_path))


def test_what_a_model_reads_counts_by_content(tmp_path: Path) -> None:
    for key, model in (
        ("config", {"name": "hf", "config": "/a/config.json"}),
        ("lora.initial", {"name": "mlp", "lora": {"initial": "/a"}}),
    ):
        folder = tmp_path / key
        made(folder / "a", hashes={"model": "a" * 64}, model=model)
        made(folder / "b", hashes={"model": "b" * 64}, model=model)
        assert list(labels(folder)) == [f"model.{key}={letter * 12}" for letter in "ab"]


def test_a_file_that_only_one_job_can_name_is_told(tmp_path: Path) -> None:
    made(tmp_path / "a")
    made(tmp_path / "b", hashes={"app": "a" * 64}, app="/apps/quickstart")
    assert list(labels(tmp_path)) == ["app=null", "app=/apps/quickstart"]


def test_a_run_that_is_named_twice_comes_once(tmp_path: Path) -> None:
    run = made(tmp_path / "runs" / "a")
    assert len(open_runs([run, tmp_path / "runs", f"{run}/../a"])) == 1


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_path_without_runs_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{name}: neither a run directory"):
        open_runs([tmp_path / name])


def test_differences_of_jobs_have_keys_that_are_missing_in_one() -> None:
    jobs = [flat(JOB), flat({**JOB, "algorithm": {"name": "fedprox", "mu": 0.1}})]
    assert differences(jobs) == ["algorithm.name", "algorithm.server_lr", "algorithm.mu"]
    assert differences([]) == []
