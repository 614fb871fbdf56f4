"""Files: whole or not at all, and found where they lie."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mpifl.errors import InputError
from mpifl.io.files import (
    DiskFull,
    cache_folder,
    disk_full_errors,
    shipped,
    shipped_names,
    usual_mode,
    whole_file,
    write_text,
)
from mpifl.io.hdf5 import content_sha256, mapped, open_hdf5, writing_hdf5
from tests.small_disk import KINDS, Mount, mounting, mounts


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Whole or not at all


def test_a_file_takes_its_name_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    with whole_file(path) as partial:
        partial.write_text("hello")
        assert not path.exists()
        assert (
            partial.parent == tmp_path
        )  # the same file system, so that the last step is one rename
    assert path.read_text() == "hello"
    assert names(tmp_path) == ["some.txt"]


def failing(path: Path, error: BaseException, write: bool = True) -> None:
    with whole_file(path) as partial:
        if write:
            partial.write_text("half")
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(1)], ids=repr
)
@pytest.mark.parametrize("write", [True, False])
def test_nothing_is_left_when_the_block_raises(
    tmp_path: Path, error: BaseException, write: bool
) -> None:
    with pytest.raises(type(error)):
        failing(tmp_path / "some.txt", error, write)
    assert names(tmp_path) == []


def test_the_file_that_was_there_stays_when_the_block_raises(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("whole")
    with pytest.raises(RuntimeError):
        failing(tmp_path / "some.txt", RuntimeError("no"))
    assert (tmp_path / "some.txt").read_text() == "whole"
    assert names(tmp_path) == ["some.txt"]


def test_the_file_that_was_there_is_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write_text(tmp_path / "some.txt", text)
    assert (tmp_path / "some.txt").read_text() == "two"
    assert names(tmp_path) == ["some.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_of_safetensors_has_the_mode_that_the_umask_gives(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "arrays"
    before = os.umask(mask)
    try:
        with usual_mode(path):
            save_file({"a": np.zeros(2)}, path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert load_file(path)["a"].tolist() == [0, 0]


def test_a_block_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "some.txt"):
        pass
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    message = refusal(lambda: write_text(tmp_path / "none" / "some.txt", "hello"))
    assert str(tmp_path / "none") in message
    assert names(tmp_path) == []


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "some.txt", "zoë\n")
    assert (tmp_path / "some.txt").read_bytes() == b"zo\xc3\xab\n"


# Where files lie


def test_shipped_files_are_found() -> None:
    assert "quickstart" in shipped_names("jobs")
    assert "phones" in shipped_names("traces")
    for folder in ("jobs", "traces"):
        assert shipped_names(folder) == sorted(set(shipped_names(folder)))
        for name in shipped_names(folder):
            path = shipped(folder, name)
            assert path is not None
            assert path.name == f"{name}.yaml"
    assert shipped("jobs", "nowhere") is None


def test_the_cache_folder_is_the_users_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPIFL_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b"
    assert cache_folder().is_dir()
    monkeypatch.delenv("MPIFL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "mpifl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "mpifl"


def test_a_cache_folder_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("MPIFL_CACHE", str(place))
        message = refusal(cache_folder)
        assert str(place) in message
        assert "MPIFL_CACHE" in message


# HDF5


@pytest.fixture
def hdf5(tmp_path: Path) -> Path:
    path = tmp_path / "some.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["schema_version"] = "ours", 3
        file["group/numbers"] = np.arange(12.0).reshape(3, 4)
        file["words"] = np.array([b"a", b"bc"])
        file["empty"] = np.empty((0, 4))
    return path


def test_our_files_are_opened_for_reading(hdf5: Path) -> None:
    with open_hdf5(hdf5, "ours", 3) as file:
        assert file["group/numbers"].shape == (3, 4)
        assert file.mode == "r"


@pytest.mark.parametrize(("kind", "schema"), [("theirs", 3), ("ours", 2), ("ours", 4)])
def test_other_kinds_and_versions_are_refused_and_closed(
    hdf5: Path, kind: str, schema: int
) -> None:
    message = refusal(lambda: open_hdf5(hdf5, kind, schema))
    assert message.startswith(f"{hdf5}: ")
    assert "'ours' version 3" in message
    assert f"{kind!r} version {schema}" in message
    with h5py.File(hdf5, "r+"):  # would fail if it were still open
        pass


def hash_of(path: Path) -> str:
    with h5py.File(path) as file:
        return content_sha256(file)


def change(path: Path, edit: Callable[[h5py.File], Any]) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def put(file: h5py.File, name: str, value: np.ndarray) -> None:
    del file[name]
    file[name] = value


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: file["group/numbers"].__setitem__((2, 3), 99),
        lambda file: put(file, "group/numbers", np.arange(12.0).reshape(4, 3)),
        lambda file: put(file, "group/numbers", np.arange(12.0, dtype=np.float32).reshape(3, 4)),
        lambda file: put(file, "group/numbers", np.arange(12).reshape(3, 4)),
        lambda file: put(file, "words", np.array([b"ab", b"c"])),
        lambda file: file.move("words", "wards"),
        lambda file: file.move("group/numbers", "numbers"),
        lambda file: file.create_group("another"),
        lambda file: file.attrs.__setitem__("schema_version", 4),
        lambda file: file.attrs.__setitem__("more", "x"),
        lambda file: file["words"].attrs.__setitem__("unit", "s"),
        lambda file: put(file, "empty", np.empty((0, 5))),
    ],
)
def test_the_hash_is_of_all_that_is_in_the_file(
    hdf5: Path, edit: Callable[[h5py.File], Any]
) -> None:
    before = hash_of(hdf5)
    change(hdf5, edit)
    assert hash_of(hdf5) != before


def test_the_hash_is_not_of_itself_nor_of_how_the_file_was_made(hdf5: Path, tmp_path: Path) -> None:
    before = hash_of(hdf5)
    change(hdf5, lambda file: file.attrs.__setitem__("content_sha256", before))
    assert hash_of(hdf5) == before
    with h5py.File(tmp_path / "again.h5", "w") as file:  # in another order
        file["words"] = np.array([b"a", b"bc"])
        file["empty"] = np.empty((0, 4))
        file.create_dataset(
            "group/numbers", data=np.arange(12.0).reshape(3, 4), chunks=(1, 4), compression="gzip"
        )
        file.attrs["schema_version"], file.attrs["format"] = 3, "ours"
    assert hash_of(tmp_path / "again.h5") == before


def test_large_columns_are_hashed_to_the_end(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = np.zeros((5000, 1024))  # 40 MB: more than one piece
    change(tmp_path / "b.h5", lambda file: file["x"].__setitem__((4999, 1023), 1))
    assert hash_of(tmp_path / "a.h5") != hash_of(tmp_path / "b.h5")


def test_columns_are_mapped(hdf5: Path) -> None:
    with h5py.File(hdf5) as file:
        numbers, empty = mapped(file["group/numbers"], "numbers"), mapped(file["empty"], "empty")
    assert np.array_equal(numbers, np.arange(12.0).reshape(3, 4))
    assert empty.shape == (0, 4)
    numbers[0, 0] = 5  # a page of one's own
    with h5py.File(hdf5) as file:
        assert file["group/numbers"][0, 0] == 0


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"chunks": (1, 4)}, {"maxshape": (None, 4)}], ids=str
)
def test_what_cannot_be_mapped_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "some.h5", "w") as file:
        file.create_dataset("numbers", data=np.arange(12.0).reshape(3, 4), **options)
        message = refusal(lambda: mapped(file["numbers"], "the numbers"))
    assert "the numbers" in message
    assert str(tmp_path / "some.h5") in message


# A full disk


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    yield from mounts(tmp_path)


def write_groups(path: Path) -> None:
    """As HDF5 bears it least: many small objects, which it writes when it lets go of them."""
    with whole_file(path) as partial, writing_hdf5(partial) as file:
        for number in range(300):
            file.create_group(f"{number}")["values"] = np.arange(200.0)


def write_vector(path: Path) -> None:
    with whole_file(path) as partial, writing_hdf5(partial) as file:
        file["values"] = np.arange(60_000.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [write_groups, write_vector])
@mounting
def test_a_disk_that_is_full_at_any_point_is_told_once_and_the_old_file_stays(
    mount: Mount,
    kind: str,
    write: Callable[[Path], None],
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    disk = mount(kind, 16 << 20)
    path = disk.folder / "x.h5"
    write(path)
    size = path.stat().st_size
    for free in range(0, size - 8192, size // 7):
        path.write_bytes(b"old")
        disk.leave(free)
        with pytest.raises(DiskFull) as caught:
            write(path)
        there = os.statvfs(disk.folder).f_bavail * os.statvfs(disk.folder).f_frsize
        assert str(caught.value) == (
            f"{path}: No space left on device: it needs {size:,} bytes, {there:,} are free on the disk; make room"
        )
        assert path.read_bytes() == b"old"
        disk.make_room()
        assert not list(disk.folder.glob(".*.part"))
    write(path)
    assert path.stat().st_size == size
    assert capfd.readouterr() == ("", "")


@mounting
def test_a_disk_that_takes_no_more_files_says_so(
    mount: Mount, request: pytest.FixtureRequest
) -> None:
    disk = mount("tmpfs", 1 << 20)
    subprocess.run(["mount", "-o", "remount,nr_inodes=20", str(disk.folder)], check=True)
    said = r"the disk takes no more files \(no inodes are free\); make room$"
    with pytest.raises(DiskFull, match=said):  # noqa: PT012
        for number in range(50):
            write_text(disk.folder / f"{number}", "")


def test_of_blocks_in_blocks_the_outermost_names_the_file_and_the_run(tmp_path: Path) -> None:
    error = OSError(122, os.strerror(122))  # a quota
    with (
        pytest.raises(DiskFull) as caught,
        disk_full_errors(tmp_path / "a", run=tmp_path),
        disk_full_errors(tmp_path / "b", 1234567),
    ):
        raise error
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/a: Disk quota exceeded: it needs 1,234,567 bytes, ")
    assert said.endswith(f"make room, then go on with --resume {os.path.relpath(tmp_path)}")


def test_other_errors_pass_a_block_that_needs_room(tmp_path: Path) -> None:
    error = OSError(5, os.strerror(5))
    with (
        pytest.raises(OSError, match="Input/output error") as caught,
        disk_full_errors(tmp_path / "a"),
    ):
        raise error
    assert caught.value is error
    with pytest.raises(KeyError), writing_hdf5(tmp_path / "x.h5") as file:
        file["no such thing"]


def test_writers_with_one_process_number_do_not_share_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on two hosts, or in two containers, that share a cache folder."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "some.txt"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
