"""The files below folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpifl.datasets.importers.folders import files_below
from mpifl.errors import InputError


def made(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_files_come_folder_by_folder_and_by_name(tmp_path: Path) -> None:
    one = made(
        tmp_path / "one",
        "b.x",
        "a.Y",
        "d/c.x",
        "a.z",
        ".h.x",
        ".d/e.x",
        "c/z.y",
        "c/d/a.x",
        "e.x/f.x",
    )
    two = made(tmp_path / "two", "a.x")
    found = [(root.name, below) for root, below in files_below([two, one], (".x", ".y"))]
    assert found == [
        ("two", "a.x"),
        *(("one", name) for name in ("a.Y", "b.x", "c/z.y", "c/d/a.x", "d/c.x", "e.x/f.x")),
    ]


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    root = made(tmp_path / "root", "a.x", "b/c.x")
    (root / "d").symlink_to(made(tmp_path / "other", "e.x"))
    assert [below for _, below in files_below([root], (".x",))] == ["a.x", "b/c.x", "d/e.x"]
    (root / "b" / "up").symlink_to(root)
    with pytest.raises(InputError, match="a link to a folder that contains it"):
        list(files_below([root], (".x",)))


def test_what_is_no_folder_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: No such file"):
        list(files_below([tmp_path / "none"], (".x",)))
    (tmp_path / os.fsdecode(b"\xff.x")).touch()
    with pytest.raises(InputError, match="not UTF-8"):
        list(files_below([tmp_path], (".x",)))
