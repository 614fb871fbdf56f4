"""What a person is told who names a data set that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mpifl.datasets.catalogue.making import how_to_make
from mpifl.errors import InputError
from mpifl.io.files import shipped_names
from mpifl.job import read_job
from mpifl.population.build import prepare

ROOT = Path(__file__).parents[3]
JOBS = {
    name: yaml.safe_load((ROOT / "jobs" / f"{name}.yaml").read_text())["data"]["name"]
    for name in shipped_names("jobs")
}
FILES = {name: file for name, file in JOBS.items() if file.endswith(".h5")}


@pytest.mark.parametrize("job", FILES)
def test_a_shipped_job_without_its_data_set_is_told_the_command_of_its_first_lines(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"data\.name: .*: no file .*; make it: mpifl data import "
    ) as caught:
        prepare(read_job(job))
    command = str(caught.value).partition("make it: ")[2].partition(" (`mpifl data show ")[0]
    comment = " ".join(
        line[1:].strip()
        for line in (ROOT / "jobs" / f"{job}.yaml").read_text().splitlines()
        if line[:1] == "#"
    )
    assert comment.endswith(f"Make the data set first: {command}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "cifar10",
            "make it: `mpifl data show cifar10` has the steps, last mpifl data import cifar FOLDER -o cifar10.h5, then"
            " data.name=cifar10.h5",
        ),
        ("/data/CIFAR10.h5", "mpifl data import cifar FOLDER -o /data/CIFAR10.h5"),
        (
            "/data/qmnist.h5",
            "make it: mpifl data import qmnist FOLDER -o /data/qmnist.h5 (`mpifl data show qmnist`",
        ),
        ("coqa", "nothing makes it: `mpifl data show coqa` says why"),
        ("mine.h5", "`mpifl data list` shows the data sets that it knows"),
    ],
)
def test_any_name_leads_on(name: str, said: str) -> None:
    assert said in how_to_make(name)
