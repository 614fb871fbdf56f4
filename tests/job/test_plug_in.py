"""Plug-ins: which files are their source, that exactly those bytes run, and that a change is told."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.errors import InputError
from mpifl.job import Job, parse_job, read_job
from mpifl.job.plug_in import (
    PlugIn,
    check_hashes,
    check_recorded,
    plug_in_of_file,
    plug_in_of_module,
)
from tests.budget import examples
from tests.known import known

MINIMAL = {"rounds": 3, "model": "logreg", "selection": {"name": "uniform", "participants": 2}}
RULE = """
from mpifl.selection.uniform import Uniform

class Mine(Uniform):
    value: float = 0.0

"""
"""A selection rule: it needs no torch."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """write({name: text, ...}, folder="code") -> the folder; the working directory is another one."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def make(files: dict[str, str], folder: str = "code") -> Path:
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / folder

    return make


def names(plug_in: PlugIn) -> list[str]:
    return [file.name for file in plug_in.files]


def job_of(name: str | Path) -> Job:
    return parse_job(MINIMAL | {"selection": {"name": str(name), "participants": 2}})


def value_of(job: Job) -> Any:
    """What the plug-in has and a Selection has not."""
    return vars(job.selection)["value"]


def refusal(do: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        do()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# Which files


IMPORTS = {
    "import helper": ["helper.py"],
    "import helper as h, json": ["helper.py"],
    "from helper import x": ["helper.py"],
    "from helper import *": ["helper.py"],
    "def f():\n    if 1:\n        from helper import x": ["helper.py"],
    "class A:\n    import helper": ["helper.py"],
    "try:\n    import helper\nexcept ImportError:\n    pass": ["helper.py"],
    "from . import helper": ["helper.py"],
    "from .helper import x": ["helper.py"],
    "import pack": ["pack/__init__.py"],
    "import pack.one": ["pack/__init__.py", "pack/one.py"],
    "from pack import one": ["pack/__init__.py", "pack/one.py"],
    "from pack import x": ["pack/__init__.py"],
    "from pack import *": [
        "pack/__init__.py",
        "pack/deep/__init__.py",
        "pack/deep/three.py",
        "pack/one.py",
        "pack/two.py",
    ],
    "from pack.two import x": ["pack/__init__.py", "pack/one.py", "pack/two.py"],
    "from pack.deep import x": [
        "pack/__init__.py",
        "pack/deep/__init__.py",
        "pack/deep/three.py",
        "pack/one.py",
    ],
    "import space.four": ["space/four.py"],
    "from space import four": ["space/four.py"],
    "import chain": ["chain.py", "helper.py", "pack/__init__.py", "pack/one.py", "pack/two.py"],
    "import numpy, pydantic, json, mpifl.errors, no_such_module": [],
    "import unused_data": [],
    "x = 'import helper'": [],
    "from .. import helper": [],
    "import circle": ["circle.py"],
}
FILES = {
    "helper.py": "x = 1",
    "chain.py": "import pack.two, helper",
    "circle.py": "import mine",
    "pack/__init__.py": "x = 1",
    "pack/one.py": "x = 1",
    "pack/two.py": "from . import one\nx = 1",
    "pack/deep/__init__.py": "from .three import x",
    "pack/deep/three.py": "from ..one import x",
    "space/four.py": "x = 1",
    "never.py": "x = 1",
    "unused_data/table.csv": "1",
}


@pytest.mark.parametrize("statement", IMPORTS)
def test_what_an_import_statement_names_is_part_of_it(
    write: Callable[..., Path], statement: str
) -> None:
    folder = write(FILES | {"mine.py": statement})
    assert names(plug_in_of_file(folder / "mine.py")) == sorted(["mine.py", *IMPORTS[statement]])


@examples(25)
@given(data=st.data())
def test_all_that_python_itself_would_import_is_part_of_it(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against Python: random modules and packages that import each other; what a plain interpreter has loaded is in it."""
    folder = tmp_path_factory.mktemp("graph")
    modules = ["mine", "a", "b", "p", "p.c", "p.d", "p.q", "p.q.e"]
    packages = {"p", "p.q"}
    for module in modules:
        path = folder.joinpath(*module.split("."))
        path = path / "__init__.py" if module in packages else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["x = 1"]
        for other in data.draw(
            st.lists(st.sampled_from([m for m in modules if m != module]), max_size=2)
        ):
            parent, _, last = other.rpartition(".")
            forms = [f"import {other}", f"import {other} as y"] + (
                [f"from {parent} import {last}"] if parent else []
            )
            if (
                module.startswith("p.")
                and parent == "p"
                and module not in packages
                and module.count(".") == 1
            ):
                forms.append(f"from . import {last}")
            lines.append(
                f"try:\n    {data.draw(st.sampled_from(forms))}\nexcept (ImportError, AttributeError):\n    pass"
            )
        path.write_text("\n".join(lines))

    code = "import sys, mine; print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)), sep='\\n')"
    line = [sys.executable, "-S", "-B", "-c", code]
    done = subprocess.run(
        line,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(folder)},
    )
    loaded = {
        Path(file).relative_to(folder).as_posix()
        for file in done.stdout.split()
        if file.startswith(str(folder))
    }
    found = plug_in_of_file(folder / "mine.py")
    assert loaded <= set(names(found))
    assert "mine.py" in loaded

    # And what runs here is in the plug-in's own package, all of it.
    found.module()
    package = f"mpifl_plug_in_{found.sha256[:16]}"
    here = [module for name, module in list(sys.modules.items()) if name.startswith(f"{package}.")]
    assert loaded <= {
        known(module.__loader__).file.name for module in here if hasattr(module.__loader__, "file")
    }


def test_a_project_s_own_modules_on_the_path_are_part_of_it_and_installed_ones_are_not(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write({"own_project/__init__.py": "", "own_project/util.py": "x = 1"}, "src")
    site = write({"installed_one.py": "x = 1"}, "lib/site-packages")
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.syspath_prepend(str(site))
    folder = write(
        {"mine.py": "import installed_one\ndef f():\n    from own_project.util import x"}
    )
    found = plug_in_of_file(folder / "mine.py")
    assert names(found) == ["mine.py", "own_project/__init__.py", "own_project/util.py"]
    assert [file.beside for file in found.files] == [True, False, False]
    assert found.imports == ("installed_one",)
    assert found.facts()["imports"] == {"installed_one": None}


def test_what_a_package_manager_has_put_into_a_folder_is_installed(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(
        str(write({"put_there.py": "x = 1", "put_there-1.0.dist-info/METADATA": ""}, "target"))
    )
    folder = write({"mine.py": "import put_there"})
    assert names(plug_in_of_file(folder / "mine.py")) == ["mine.py"]


def test_the_versions_of_what_it_imports_are_noted(write: Callable[..., Path]) -> None:
    import numpy
    import sklearn

    folder = write(
        {
            "mine.py": "import numpy.linalg\nfrom sklearn import svm\nimport json, mpifl, no_such_module"
        }
    )
    facts = plug_in_of_file(folder / "mine.py").facts()
    assert facts["imports"] == {"numpy": numpy.__version__, "scikit-learn": sklearn.__version__}


# The hash


def test_the_hash_is_of_names_and_bytes_and_of_nothing_else(write: Callable[..., Path]) -> None:
    files = {"mine.py": "import helper, pack.one", **FILES}
    first = plug_in_of_file(write(files) / "mine.py").sha256
    assert plug_in_of_file(write(files, "elsewhere") / "mine.py").sha256 == first
    assert plug_in_of_file(write({"never.py": "x = 2"}) / "mine.py").sha256 == first
    changed = {first}
    for name in ("mine.py", "helper.py", "pack/__init__.py", "pack/one.py"):
        folder = write({**files, name: files[name] + " "})
        changed.add(plug_in_of_file(folder / "mine.py").sha256)
    assert len(changed) == 5


# What runs


def test_files_beside_it_are_found_from_any_folder_and_also_when_they_are_imported_late(
    write: Callable[..., Path],
) -> None:
    folder = write(
        {
            "mine.py": f"import helper\nfrom pack import one\n{RULE}    def late(self):\n"
            "        import space.four, later\n        return helper.x + one.x + space.four.x + later.x",
            "later.py": "x = 100",
            **FILES,
        }
    )
    rule: Any = job_of(f"{folder}/mine.py:Mine").selection
    (folder / "later.py").write_text("x = 200")  # after it was hashed
    assert rule.late() == 103
    assert not list(folder.rglob("__pycache__"))


def test_two_plug_ins_may_each_bring_a_file_of_one_name(write: Callable[..., Path]) -> None:
    values = []
    for number in (1, 2):
        files = {
            "mine.py": f"import helper\n{RULE}    value: float = helper.x",
            "helper.py": f"x = {number}",
        }
        folder = write(files, f"code-{number}")
        values.append(value_of(job_of(f"{folder}/mine.py:Mine")))
    assert values == [1, 2]
    assert "helper" not in sys.modules


@pytest.mark.parametrize("name", ["json", "numpy", "logging"])
def test_a_file_beside_it_hides_nothing_from_others(write: Callable[..., Path], name: str) -> None:
    before = sys.modules.get(name)
    folder = write(
        {"mine.py": f"import {name}\n{RULE}    value: float = {name}.x", f"{name}.py": "x = 7"}
    )
    assert value_of(job_of(f"{folder}/mine.py:Mine")) == 7
    assert sys.modules.get(name) is before


def test_a_file_named_as_a_module_of_python_s_may_import_that(write: Callable[..., Path]) -> None:
    folder = write({"copy.py": f"import copy\n{RULE}    value: float = copy.copy(3)"})
    assert value_of(job_of(f"{folder}/copy.py:Mine")) == 3


def test_no_pyc_file_of_an_older_text_is_run(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes a .pyc file whose source has the second and the size that it notes."""
    for names_, job_name in (
        (["mine.py", "helper.py"], "{}/mine.py:Mine"),
        (["pyc_pack/mine.py"], "pyc_pack.mine:Mine"),
    ):
        files = dict.fromkeys(names_, f"x = 1.0\n{RULE}    value: float = x")
        if "helper.py" in files:
            files |= {
                "mine.py": f"from helper import x\n{RULE}    value: float = x",
                "helper.py": "x = 1.0",
            }
        folder = write(files)
        for name in names_:
            path = folder / name
            os.utime(path, (10**9, 10**9))
            py_compile.compile(str(path), doraise=True)
            path.write_text(path.read_text().replace("x = 1.0", "x = 2.0"))
            os.utime(path, (10**9, 10**9))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            assert value_of(job_of(job_name.format(folder))) == 2.0


def test_no_machine_code_of_an_older_text_is_run(write: Callable[..., Path]) -> None:
    """Of a kernel that calls another Numba would keep the code, whatever becomes of the other's file."""
    kernel = "from mpifl.kernels.compile import kernel\n{}\n@kernel\ndef {}():\n    return {}\n"
    values = []
    for value in (1.0, 2.0):
        mine = (
            kernel.format("from helper import inner", "outer", "inner()")
            + f"{RULE}    value: float = outer()"
        )
        folder = write({"mine.py": mine, "helper.py": kernel.format("", "inner", value)})
        os.utime(folder / "mine.py", (10**9, 10**9))
        values.append(value_of(job_of(f"{folder}/mine.py:Mine")))
    assert values == [1.0, 2.0]


def test_what_is_edited_in_one_process_is_another_class(write: Callable[..., Path]) -> None:
    """Equal sources are one class, others are others: also where only a file beside it was edited."""
    files = {"mine.py": f"from helper import x\n{RULE}    value: float = x", "helper.py": "x = 1"}
    first = job_of(f"{write(files)}/mine.py:Mine")
    again = job_of(f"{write(files)}/mine.py:Mine")
    edited = job_of(f"{write(files | {'helper.py': 'x = 2'})}/mine.py:Mine")
    assert first == again
    assert type(first) is type(again)
    assert value_of(edited) == 2
    assert type(edited) is not type(first)
    assert edited.plug_ins["selection.name"].sha256 != first.plug_ins["selection.name"].sha256


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"mine.py": "import helper", "helper.py": "def ("}, "SyntaxError"),
        ({"mine.py": "import helper", "helper.py": "1 / 0"}, "ZeroDivisionError"),
        ({"mine.py": "from helper import y", "helper.py": "x = 1"}, "cannot import name 'y'"),
        ({"mine.py": "from .. import helper"}, "beyond top-level package"),
        ({"mine.py": "from . import nothing"}, "nothing"),
        ({"mine.py": "x = '\0'"}, "null bytes"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(
    write: Callable[..., Path], files: dict[str, str], said: str
) -> None:
    folder = write(files)
    message = refusal(lambda: job_of(f"{folder}/mine.py:Mine"))
    assert message.startswith("selection.name: ")
    assert said in message


def test_a_file_name_with_a_dot_is_refused(write: Callable[..., Path]) -> None:
    folder = write({"mine.old.py": RULE})
    assert "rename it" in refusal(lambda: job_of(f"{folder}/mine.old.py:Mine"))


@pytest.mark.parametrize("name", ["my-rule.py", "__init__.py", "2.py"])
def test_file_names_that_no_import_statement_could_say(
    write: Callable[..., Path], name: str
) -> None:
    folder = write(
        {name: f"from .helper import x\n{RULE}    value: float = x", "helper.py": "x = 5"}
    )
    assert value_of(job_of(f"{folder}/{name}:Mine")) == 5


# package.module:Class


def test_of_a_module_its_own_package_is_hashed_and_stays_where_it_is(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {
        "own_pack/__init__.py": "from own_pack import base",
        "own_pack/base.py": "x = 4",
        "own_pack/rules.py": f"import json, numpy\nfrom .values import x\n{RULE}    value: float = x",
        "own_pack/values.py": "from own_pack.base import x",
        "own_pack/other.py": "x = 1",
    }
    monkeypatch.syspath_prepend(str(write(files)))
    job = job_of("own_pack.rules:Mine")
    found = job.plug_ins["selection.name"]
    assert value_of(job) == 4
    assert not found.from_file
    assert names(found) == [
        "own_pack/__init__.py",
        "own_pack/base.py",
        "own_pack/rules.py",
        "own_pack/values.py",
    ]
    assert sys.modules["own_pack"].__path__ == [
        str(tmp_path / "code" / "own_pack")
    ]  # all of it, not only what was hashed
    write({"own_pack/base.py": "x = 5"})
    assert plug_in_of_module("own_pack.rules").sha256 != found.sha256
    assert "edited since this process imported it" in refusal(lambda: job_of("own_pack.rules:Mine"))


def test_a_module_without_source_is_no_plug_in() -> None:
    assert "no class Nothing" in refusal(lambda: job_of("sys:Nothing"))


# Where a job file's plug-ins are


def test_a_plug_in_is_looked_for_beside_the_job_file_then_in_the_working_directory(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    def rule(value: int) -> str:
        return f"{RULE}    value: float = {value}"

    job = "rounds: 3\nmodel: logreg\nselection: {name: %s, participants: 2}\ndata: {partition: {name: iid}}\n"
    write(
        {
            "both.py": rule(1),
            "there.py": rule(2),
            "both.yaml": job % "both.py:Mine",
            "here.yaml": job % "./here.py:Mine",
        }
    )
    write({"both.py": rule(3), "here.py": rule(4)}, "cwd")

    def value(name: str, *overrides: str) -> float:
        rule: Any = read_job(str(tmp_path / "code" / name), overrides).selection
        return float(rule.value)

    assert value("both.yaml") == 1
    assert value("both.yaml", "selection.name=both.py:Mine") == 3
    assert value("both.yaml", "selection={name: both.py:Mine, participants: 1}") == 3
    assert value("here.yaml") == 4
    assert "no file" in refusal(lambda: value("both.yaml", "selection.name=there.py:Mine"))


# What a run directory holds of it


def test_the_copy_is_the_same_plug_in(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write({"mine.py": f"import pack.two, space.four\n{RULE}", **FILES})
    found = plug_in_of_file(folder / "mine.py")
    copy = plug_in_of_file(found.copy(tmp_path / "run" / "selection"))
    assert copy.sha256 == found.sha256
    assert (
        names(copy)
        == names(found)
        == sorted(
            path.relative_to(tmp_path / "run" / "selection").as_posix()
            for path in (tmp_path / "run").rglob("*.py")
        )
    )
    assert copy.module() is found.module()


def frames(plug_in: PlugIn) -> list[tuple[str, int]]:
    """The file and line of each frame of an error that ``fails`` of a plug-in raises."""
    with pytest.raises(ZeroDivisionError) as caught:
        plug_in.module().fails()
    found = traceback.extract_tb(caught.value.__traceback__)
    return [(frame.filename, frame.lineno or 0) for frame in found[1:]]


@pytest.mark.parametrize("copies", [1, 2])
def test_an_error_in_a_copy_names_the_file_that_its_author_edits(
    write: Callable[..., Path], tmp_path: Path, copies: int
) -> None:
    """As a new run of DIR/job.yaml makes a copy of a copy. The bytes of no other test's plug-in."""
    folder = write(
        {
            "mine.py": f"from pack.two import fail\n# {copies}\ndef fails():\n    fail()\n",
            "pack/__init__.py": "",
            "pack/two.py": "def fail():\n    1 / 0\n",
        }
    )
    copy = folder / "mine.py"
    for number in range(copies):
        copy = plug_in_of_file(copy).copy(tmp_path / f"run{number}" / "selection")
    found = plug_in_of_file(copy)
    assert found.main_file is not None
    assert found.main_file.path == copy
    assert found.where == str(copy)
    assert found.module().__file__ == str(copy)
    assert frames(found) == [(f"{folder}/mine.py", 4), (f"{folder}/pack/two.py", 2)]


@pytest.mark.parametrize("edited", ["# more\n", None])
def test_an_error_in_a_copy_names_the_copy_where_the_original_is_another_or_gone(
    write: Callable[..., Path], tmp_path: Path, edited: str | None
) -> None:
    folder = write({"mine.py": f"# {edited!r}\ndef fails():\n    1 / 0\n"})
    copy = plug_in_of_file(folder / "mine.py").copy(tmp_path / "run" / "selection")
    if edited is None:
        (folder / "mine.py").unlink()
    else:
        (folder / "mine.py").write_text(edited + (folder / "mine.py").read_text())
    assert frames(plug_in_of_file(copy)) == [(str(copy), 3)]


@pytest.fixture
def recorded(write: Callable[..., Path], tmp_path: Path) -> tuple[Path, PlugIn]:
    """A run directory whose environment.json has a plug-in of two files, and the plug-in as it is now, edited."""
    files = {"mine.py": "import helper", "helper.py": "x = 1"}
    before = plug_in_of_file(write(files) / "mine.py")
    (tmp_path / "cwd" / "environment.json").write_text(
        json.dumps({"plug_ins": {"algorithm.name": before.facts()}})
    )
    after = plug_in_of_file(write({"helper.py": "x = 2"}) / "mine.py")
    assert before.sha256 != after.sha256
    check_recorded(tmp_path / "cwd", {"algorithm.name": before}, [])
    return tmp_path / "cwd", after


def test_a_plug_in_that_is_not_the_run_s_is_refused_with_both_hashes(
    recorded: tuple[Path, PlugIn],
) -> None:
    folder, edited = recorded
    before = json.loads((folder / "environment.json").read_text())["plug_ins"]["algorithm.name"][
        "sha256"
    ]
    message = refusal(
        lambda: check_recorded(folder, {"algorithm.name": edited}, ["rounds", "algorithm.nam"])
    )
    assert message.startswith("algorithm.name: the source of ")
    assert before[:12] in message
    assert edited.sha256[:12] in message
    assert "(helper.py)" in message


@pytest.mark.parametrize("override", ["algorithm", "algorithm.name"])
def test_what_the_command_line_names_is_not_held_against_the_run(
    recorded: tuple[Path, PlugIn], override: str
) -> None:
    check_recorded(recorded[0], {"algorithm.name": recorded[1]}, [override])


@pytest.mark.parametrize("text", ["{}", '{"plug_ins": {}}', '{"content_sha256": {}}'])
def test_a_run_that_had_no_plug_in_says_nothing_of_one(
    recorded: tuple[Path, PlugIn], text: str
) -> None:
    (recorded[0] / "environment.json").write_text(text)
    check_recorded(recorded[0], {"algorithm.name": recorded[1]}, [])
    (recorded[0] / "environment.json").unlink()
    check_recorded(recorded[0], {"algorithm.name": recorded[1]}, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"plug_ins": 3}',
        '{"plug_ins": {"algorithm.name": {}}}',
        '{"plug_ins": {"a": 1}}',
        "\0",
    ],
)
def test_a_damaged_environment_is_refused(recorded: tuple[Path, PlugIn], text: str) -> None:
    (recorded[0] / "environment.json").write_text(text)
    message = refusal(lambda: check_recorded(recorded[0], {"algorithm.name": recorded[1]}, []))
    assert "environment.json: damaged; restore it from a copy, or remove it" in message


def test_ranks_that_find_other_sources_are_told(recorded: tuple[Path, PlugIn]) -> None:
    plug_in = recorded[1]
    check_hashes({"algorithm.name": plug_in}, {"algorithm.name": plug_in.sha256})
    message = refusal(
        lambda: check_hashes({"algorithm.name": plug_in}, {"algorithm.name": "f" * 64})
    )
    assert message.startswith("algorithm.name: ")
    assert plug_in.sha256[:12] in message
    assert "f" * 12 in message
