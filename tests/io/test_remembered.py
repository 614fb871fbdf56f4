"""What a large file holds is remembered from one start to the next, for as long as it is the same file."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from typer.testing import CliRunner

from mpifl.__main__ import app
from mpifl.datasets.dataset import FORMAT, SCHEMA_VERSION, Dataset, open_dataset, write_dataset
from mpifl.errors import InputError
from mpifl.io import remembered, verified
from mpifl.io.files import cache_folder
from mpifl.io.hdf5 import check_content
from mpifl.state.arguments import arguments

LATER = 10  # seconds after the file was written


@pytest.fixture
def path(
    tmp_path: Path, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A large file that nobody has just written, and a cache folder of its own."""
    monkeypatch.setenv("MPIFL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered, "_uses_memory", True)
    monkeypatch.setattr(verified, "_known", {})
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + LATER * 10**9)
    write_dataset(tmp_path / "data.h5", make_dataset([50, 70, 30], shape=(2_000,)))
    return tmp_path / "data.h5"


@pytest.fixture
def start(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Path]]:
    """Begins anew, as another process does, verifies a file and returns what was read for it."""

    def begin(file: Path = path) -> list[Path]:
        read: list[Path] = []

        def check_content(path: Path, form: str, schema: int) -> str:
            read.append(path)
            return content_of(path, form, schema)

        monkeypatch.setattr(verified, "_known", {})
        monkeypatch.setattr(verified, "check_content", check_content)
        found = verified.verified(file, FORMAT, SCHEMA_VERSION)
        assert found == open_dataset(file).content_sha256
        return read

    content_of = check_content
    return begin


def flip(path: Path) -> None:
    """Change one label, and put the time of the last change back."""
    before = path.stat()
    with h5py.File(path, "r+") as file:
        file["train/y"][0] = (file["train/y"][0] + 1) % 3
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_large_file_is_read_once_on_a_machine(
    path: Path, start: Callable[..., list[Path]]
) -> None:
    assert path.stat().st_size > remembered.SMALLEST_BYTES
    assert start() == [path]
    assert start() == start() == []
    copy = path.with_name("copy.h5")
    shutil.copy2(path, copy)
    assert start(copy) == [copy]
    shutil.move(copy, path)  # another file under the name, with the same time
    assert start() == [path]


def test_a_change_is_seen_whatever_time_the_file_has(
    path: Path, start: Callable[..., list[Path]]
) -> None:
    start()
    flip(path)
    for _ in range(2):  # what is damaged is not remembered either
        with pytest.raises(InputError, match="damaged or changed"):
            start()


def test_a_status_that_a_network_file_system_has_kept_does_not_count(
    path: Path, start: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    kept = path.stat()
    flip(path)
    there = Path.stat
    monkeypatch.setattr(
        Path, "stat", lambda file, **how: kept if file == path else there(file, **how)
    )
    with pytest.raises(InputError, match="damaged or changed"):
        start()


def test_a_file_that_is_replaced_while_it_is_read_is_not_remembered(
    path: Path, start: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    content_of = check_content
    other = path.with_name("other.h5")
    shutil.copy(path, other)

    def replaced_first(path: Path, form: str, schema: int) -> str:
        other.replace(path)
        return content_of(path, form, schema)

    monkeypatch.setattr(verified, "check_content", replaced_first)
    verified.verified(path, FORMAT, SCHEMA_VERSION)
    assert not [*(path.parent / "cache").rglob("*.json")]


def test_who_has_no_home_reads_every_time_and_is_told_which_variable_to_set(
    path: Path, start: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("MPIFL_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert start() == start() == [path]
    with pytest.raises(InputError, match="no home folder; point MPIFL_CACHE to a folder"):
        cache_folder()


def test_who_asks_for_it_has_it_read_again(path: Path, start: Callable[..., list[Path]]) -> None:
    start()
    remembered.forget()
    assert start() == start() == [path]


def test_on_another_host_it_is_read(
    path: Path, start: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    here = socket.gethostname()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert start() == [path]
    monkeypatch.setattr(socket, "gethostname", lambda: here)
    assert start() == []


def test_small_and_fresh_files_are_read_every_time(
    path: Path, start: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as small:
        small.setattr(remembered, "SMALLEST_BYTES", path.stat().st_size + 1)
        assert start() == start() == [path]
    written = path.stat().st_mtime_ns
    with monkeypatch.context() as fresh:
        fresh.setattr(time, "time_ns", lambda: written + 10**9)
        assert start() == start() == [path]


def test_a_note_that_is_damaged_or_cannot_be_written_is_as_none(
    path: Path, start: Callable[..., list[Path]], tmp_path: Path
) -> None:
    start()
    note = next((tmp_path / "cache" / "verified").iterdir())
    for text in ("", "{", "[]", '{"file": []}'):
        note.write_text(text)
        assert start() == [path]
        assert start() == []
    shutil.rmtree(note.parent)
    note.parent.write_text("in the way")
    assert start() == start() == [path]


def test_what_changes_unseen_is_found_by_verify(path: Path, tmp_path: Path) -> None:
    """A block of the disk that has gone bad: the file itself does not look changed."""
    job = tmp_path / "job.yaml"
    job.write_text(
        f"data: {{name: {path}}}\nmodel: {{name: logreg}}\nrounds: 1\nselection: {{name: uniform, participants: 2}}\n"
    )
    digest = open_dataset(path).content_sha256
    flip(path)
    remembered.remember(path.resolve(), verified.CONTENT, path.stat(), time.time_ns(), digest)

    done = CliRunner().invoke(app, ["check", str(job)])
    assert done.exit_code == 0, done.output
    verified._known.clear()
    refused = CliRunner().invoke(app, ["check", str(job), "--verify"])
    assert refused.exit_code == 2
    assert f"{path}: damaged or changed" in refused.stderr


def test_every_rank_takes_the_option() -> None:
    assert arguments(["job.yaml", "--verify", "rounds=2"], None).verify
    assert not arguments(["job.yaml"], None).verify
