"""Whole files are read once at a start, and again as soon as they may be others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from mpifl.datasets.dataset import FORMAT, SCHEMA_VERSION, Dataset, open_dataset, write_dataset
from mpifl.errors import InputError
from mpifl.io import verified as module
from mpifl.io.hdf5 import check_content as check
from mpifl.io.verified import bytes_sha256, check_same, for_the_ranks, verified, what_was_verified

OLD = 10**9
"""Seconds: a file of 2001, which nobody has just written."""


@pytest.fixture
def path(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> Path:
    write_dataset(tmp_path / "data.h5", make_dataset([5, 7, 3]))
    return tmp_path / "data.h5"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read whole, in their order."""
    files: list[Path] = []

    def check_content(path: Path, form: str, schema: int) -> str:
        files.append(path)
        return check(path, form, schema)

    monkeypatch.setattr(module, "check_content", check_content)
    return files


def flip(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["train/y"][...] = (file["train/y"][...] + 1) % 3


def test_a_file_is_read_once(path: Path, read: list[Path]) -> None:
    os.utime(path, (OLD, OLD))
    found = {verified(path, FORMAT, SCHEMA_VERSION) for _ in range(3)}
    assert found == {open_dataset(path).content_sha256}
    assert read == [path]


def test_a_file_that_is_touched_is_read_again(path: Path, read: list[Path]) -> None:
    os.utime(path, (OLD, OLD))
    verified(path, FORMAT, SCHEMA_VERSION)
    flip(path)
    for _ in range(2):
        with pytest.raises(InputError, match="damaged or changed"):
            verified(path, FORMAT, SCHEMA_VERSION)
    assert len(read) == 3


@pytest.mark.parametrize("seconds", [0, 10])
def test_a_file_that_had_just_been_written_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Two changes may come within one step of the time stamp: whenever one asks for it again."""
    found = path.stat()
    verified(path, FORMAT, SCHEMA_VERSION)
    flip(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    later = time.time_ns() + seconds * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    with pytest.raises(InputError, match="damaged or changed"):
        verified(path, FORMAT, SCHEMA_VERSION)


def test_ranks_that_a_command_starts_need_not_read_once_more(path: Path, tmp_path: Path) -> None:
    """In a process of its own, for which a file that changes unseen shows who has read it."""
    fresh = tmp_path / "fresh.h5"
    shutil.copy(path, fresh)
    os.utime(path, (OLD, OLD))
    for file in (path, fresh):
        verified(file, FORMAT, SCHEMA_VERSION)
    environment = os.environ | for_the_ranks()
    for file in (path, fresh):
        found = file.stat()
        flip(file)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    code = "import sys; from mpifl.io.verified import *; print(verified(Path(sys.argv[1]), 'mpifl-dataset', 2))"

    def ask(file: Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", code, str(file)]
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    assert ask(path).stdout.strip() == open_dataset(path).content_sha256
    assert "damaged or changed" in ask(fresh).stderr
    path.touch()
    assert "damaged or changed" in ask(path).stderr


def test_the_bytes_of_a_file(path: Path, tmp_path: Path) -> None:
    before = bytes_sha256(path)
    shutil.copy(path, tmp_path / "copy.h5")
    assert bytes_sha256(tmp_path / "copy.h5") == before
    flip(path)
    assert bytes_sha256(path) != before
    with pytest.raises(InputError, match=r"no\.h5"):
        bytes_sha256(tmp_path / "no.h5")


def test_other_ranks_read_only_what_is_another_file(
    path: Path, tmp_path: Path, read: list[Path]
) -> None:
    assert what_was_verified(path) is None
    verified(path, FORMAT, SCHEMA_VERSION)
    noted = what_was_verified(path)
    assert noted is not None
    read.clear()
    check_same(path, *noted, FORMAT, SCHEMA_VERSION)
    assert read == []
    copy = tmp_path / "copy.h5"  # as on a host that has its own
    shutil.copy(path, copy)
    check_same(copy, *noted, FORMAT, SCHEMA_VERSION)
    assert read == [copy]


def test_another_file_on_another_rank_is_refused(
    path: Path, tmp_path: Path, make_dataset: Callable[..., Dataset]
) -> None:
    digest = verified(path, FORMAT, SCHEMA_VERSION)
    noted = what_was_verified(path)
    assert noted is not None
    write_dataset(tmp_path / "other.h5", make_dataset([5, 7, 3], seed=1))
    with pytest.raises(InputError, match=f"{digest[:12]} on rank 0") as caught:
        check_same(tmp_path / "other.h5", *noted, FORMAT, SCHEMA_VERSION)
    assert open_dataset(tmp_path / "other.h5").content_sha256[:12] in str(caught.value)
    flip(path)  # after rank 0 has read it
    with pytest.raises(InputError, match="damaged or changed"):
        check_same(path, *noted, FORMAT, SCHEMA_VERSION)


def test_a_process_can_be_told_of_some_of_very_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep over data sets has read thousands, and starts its runs in this environment."""
    paths = [Path(f"/somewhere/data-{number:016x}.h5") for number in range(3000)]
    readings = {(path, module.CONTENT): module._Reading((1, 2, 3), OLD**3, "d") for path in paths}
    monkeypatch.setattr(module, "_known", readings)
    environment = os.environ | for_the_ranks()
    program = (
        "from mpifl.io.verified import _known; print(*(path for path, _ in _known), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    told = done.stdout.split()
    assert len(told) > 100
    assert told == [str(path) for path in paths[: len(told)]]
