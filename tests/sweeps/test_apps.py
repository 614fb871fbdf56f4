"""Sweeps of Flower apps: their runs are those that ``mpifl flower run`` makes of the same options."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mpifl.errors import InputError
from mpifl.flower.arguments import arguments
from mpifl.sweeps.folder import existing, open_sweep
from mpifl.sweeps.index import Index, make_index

APP = Path(__file__).parents[1] / "flower/apps/numpy"
AXES = ["supernodes=10", "run-config.num-server-rounds=2,3", "seed=1..2"]


@pytest.fixture(autouse=True)
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(APP, "app")
    return tmp_path / "app"


def made(*axes: str) -> Index:
    return make_index("app", axes or AXES, None)


def test_the_words_of_a_run_are_options_of_flower_run(app: Path) -> None:
    words = made().arguments(3, Path("s"))
    assert words == [
        str(app),
        "--supernodes=10",
        "--run-config=num-server-rounds=3",
        "--seed=1",
        "--resume",
        "s/3_num-server-rounds-3_seed-1",
    ]
    assert arguments(words, None)["options"] == {"supernodes": 10, "seed": 1}
    assert made().program == "mpifl.flower.run"
    assert make_index("quickstart", ["seed=1,2"], None).program == "mpifl.run"


@pytest.mark.parametrize("key", ["lr", "resume", "out", "run-config"])
def test_a_key_that_is_no_option_is_refused(key: str) -> None:
    with pytest.raises(InputError, match=rf"{key}: not allowed in a sweep of a Flower app"):
        made("supernodes=10", f"{key}=1,2").arguments(1, Path("s"))


def test_one_wrong_run_is_named_and_nothing_is_made(app: Path) -> None:
    pytest.importorskip("flwr", reason="flwr is not installed (mpifl[flower]): docs/flower.md")
    for axis, line in (
        ("availability=always,never", "availability: 'never' is not allowed"),
        ("run-config.num-server-rounds=1,x=2", "--run-config: "),
    ):
        with pytest.raises(InputError, match=rf"run 2 of 2 .*: {line}"):
            open_sweep(made("supernodes=10", axis), None, None)
    assert [path.name for path in app.parent.iterdir()] == ["app"]


def test_a_changed_app_does_not_go_on(app: Path) -> None:
    pytest.importorskip("flwr", reason="flwr is not installed (mpifl[flower]): docs/flower.md")
    folder, index = open_sweep(made(), None, None)
    assert folder == Path("sweeps/numpy-app")
    assert existing(folder, made()) == index
    (app / "numpy_app/task.py").write_text("changed = True\n")
    with pytest.raises(InputError, match="has changed since the sweep began"):
        existing(folder, None)
