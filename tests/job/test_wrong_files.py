"""Files that are not what a job takes there, and texts that are no names, are told in a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from mpifl.datasets.dataset import open_dataset
from mpifl.errors import InputError
from mpifl.io.files import shipped
from mpifl.job.read import read_job
from mpifl.traces.synthesis import read_recipe, synthesize
from mpifl.traces.trace import open_trace, write_trace

ROUNDS = "rounds: 3\nmodel: logreg\nselection: {name: uniform, participants: 2}\n"


def refusal(file: Path, contents: bytes | str) -> str:
    file.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    with pytest.raises(InputError) as refused:
        read_job(str(file))
    (line,) = refused.value.lines
    return line.removeprefix(f"{file}: ")


def test_a_job_that_is_no_text_is_told_so(tmp_path: Path) -> None:
    said = refusal(tmp_path / "a.yaml", b"\x89HDF")
    assert said.startswith("not a job file: it is no text in UTF-8 (")
    said = refusal(tmp_path / "a.yaml", "name: été".encode("latin-1"))
    assert said.startswith("not a job file: it is no text in UTF-8 (")


def test_a_job_without_keys_is_told_what_to_write(tmp_path: Path) -> None:
    expected = "expected a mapping of sections, found {}; write `key: value` lines"
    assert refusal(tmp_path / "a.yaml", "") == expected.format("nothing")
    assert refusal(tmp_path / "a.yaml", "- a\n") == expected.format("a list")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2024-01-01", "2024-01-01 is not allowed: it is no text; put it in quotes"),
        ("12", "12 is not allowed: it is no text; put it in quotes"),
        (
            "Études",
            "'Études' is not allowed; allowed: letters from A to Z, digits, and behind the first of"
            " them also dots, - and _",
        ),
    ],
)
def test_a_name_that_is_none_is_told_what_one_is(tmp_path: Path, name: str, said: str) -> None:
    assert refusal(tmp_path / "a.yaml", f"name: {name}\n{ROUNDS}") == f"name: {said}"


def test_a_misspelt_job_is_told_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clinics.yaml").write_text(ROUNDS)
    for given, meant in {"clinic.yaml": "clinics.yaml", "quickstar": "quickstart"}.items():
        with pytest.raises(InputError, match=rf"^{given}: no such job .*; did you mean {meant}\?$"):
            read_job(given)


def test_another_file_of_ours_is_told_where_it_belongs(tmp_path: Path) -> None:
    recipe = shipped("traces", "phones")
    assert recipe is not None
    write_trace(tmp_path / "t.h5", replace(synthesize(read_recipe(recipe)), name="t"))
    with pytest.raises(
        InputError, match=r"it is a device trace: population\.trace, and `mpifl tra"
    ):
        open_dataset(tmp_path / "t.h5")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.attrs["format"] = "mpifl-dataset"
        file.attrs["schema_version"] = 2
    with pytest.raises(InputError, match=r"it is a data set: data\.name, and `mpifl data show`"):
        open_trace(tmp_path / "d.h5")


def test_a_file_of_another_kind_is_told_what_imports_it(tmp_path: Path) -> None:
    table = tmp_path / "visits.csv"
    table.write_text("clinic,age\na,1\n")
    with pytest.raises(InputError, match=r"it is no HDF5 file; `mpifl data import` makes one"):
        open_dataset(table)
    with pytest.raises(InputError, match=r"it is no HDF5 file; `mpifl traces import` makes one"):
        open_trace(table)
