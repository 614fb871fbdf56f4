"""An app's folder: its pyproject.toml, and changes of its config."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpifl.errors import InputError
from mpifl.flower.app import error_text, load, read_app, source_sha256

PROJECT = """
[project]
name = "one"
[tool.flwr.app.components]
serverapp = "one.server:app"
clientapp = "one.client:app"
[tool.flwr.app.config]
lr = 0.1
name = "text"
deep.er = 3
on = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def test_nested_keys_are_joined_by_dots_as_in_flower(folder: Path) -> None:
    app = read_app(str(folder), [])
    assert app["run_config"] == {"lr": 0.1, "name": "text", "deep.er": 3, "on": True}
    assert (app["name"], app["serverapp"]) == ("one", "one.server:app")


@pytest.mark.parametrize(
    ("name", "plain"),
    [("../../etc/x y", "etc-x-y"), ("a/b", "a-b"), ("..", "app"), ("A_1.b", "A_1.b")],
)
def test_a_run_directory_has_no_path_for_a_name(folder: Path, name: str, plain: str) -> None:
    project = folder / "pyproject.toml"
    project.write_text(PROJECT.replace('"one"', f'"{name}"'))
    assert read_app(str(folder), [])["name"] == plain


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        (["lr=0.5"], {"lr": 0.5}),
        (["lr=1 deep.er=4"], {"lr": 1, "deep.er": 4}),
        (["name='a b'", "on=false"], {"name": "a b", "on": False}),
        (['name="a=b"'], {"name": "a=b"}),
    ],
)
def test_run_config_is_read_as_flwr_run_reads_it(
    folder: Path, changes: list[str], changed: dict[str, object]
) -> None:
    before = read_app(str(folder), [])["run_config"]
    assert read_app(str(folder), changes)["run_config"] == before | changed


def test_run_config_may_be_a_file(folder: Path) -> None:
    (folder / "other.toml").write_text("lr = 2.0\n[deep]\ner = 5\n")
    config = read_app(str(folder), [str(folder / "other.toml")])["run_config"]
    assert (config["lr"], config["deep.er"]) == (2.0, 5)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "project.toml: tool.flwr.app.components.serverapp: missing"),
        (PROJECT.replace("one.client:app", "one.client"), "clientapp: 'one.client' is not allowed"),
        (PROJECT + "list = [1]\n", "tool.flwr.app.config.list: [1] is not allowed"),
        ("= 3", "pyproject.toml: not valid TOML"),
    ],
)
def test_a_wrong_project_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(InputError) as raised:
        read_app(str(tmp_path), [])
    assert line in str(raised.value)
    assert len(raised.value.lines) == 1


def test_an_app_that_does_not_load_is_one_line_with_its_place(folder: Path) -> None:
    (folder / "bad_app.py").write_text("x = 1\nimport nothing_of_that_name\n")
    with pytest.raises(InputError, match=r"ModuleNotFoundError.*\(bad_app.py:2\)") as raised:
        load(str(folder), "clientapp", "bad_app:app", int)
    assert len(raised.value.lines) == 1
    (folder / "good_app.py").write_text("app = 'text'\n")
    with pytest.raises(InputError, match="is a str; allowed: a int"):
        load(str(folder), "clientapp", "good_app:app", int)


def test_an_error_has_the_place_of_the_apps_own_line_alone(tmp_path: Path) -> None:
    own, other = tmp_path / "app", tmp_path / "app-of-another-name"
    for folder in (own, other):
        folder.mkdir()
        (folder / "code.py").write_text("raise ValueError('wrong\\nvalue')")
    texts = []
    for folder in (own, other):
        path = folder / "code.py"
        with pytest.raises(ValueError, match="wrong") as raised:
            exec(compile(path.read_text(), str(path), "exec"), {})
        texts.append(error_text(raised.value, str(own)))
    assert texts == ["ValueError: wrong value (code.py:1)", "ValueError: wrong value"]


def test_the_hash_is_of_sources_and_their_names(folder: Path) -> None:
    before = source_sha256(str(folder))
    (folder / "data.csv").write_text("1,2")
    (folder / ".venv").mkdir()
    (folder / ".venv/x.py").write_text("1")
    (folder / "folder.py").mkdir()
    assert source_sha256(str(folder)) == before
    (folder / "a.py").write_text("1")
    changed = source_sha256(str(folder))
    (folder / "a.py").rename(folder / "b.py")
    assert len({before, changed, source_sha256(str(folder))}) == 3
