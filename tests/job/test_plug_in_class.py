"""What is wrong with the class of a plug-in is one line, before a run begins."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from mpifl.algorithms.fedavg import FedAvg
from mpifl.errors import InputError
from mpifl.job import Section
from mpifl.job.component import COMPONENTS, find_part

ALGORITHM = "from mpifl.algorithms.fedavg import FedAvg\n\n\nclass Mine(FedAvg):\n"
SELECTION = "from mpifl.selection.selection import Selection\n\n\nclass Mine(Selection):\n"
CHOOSE = "    def choose(self, c):\n        return c.uniform(c.wanted)\n"


def found(folder: Path, source: str, path: str) -> type[Section]:
    (component,) = (one for one in COMPONENTS if ".".join(one.path) == path)
    (folder / "mine.py").write_text(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a refusal is one line, and nothing beside it
        return find_part(component, f"{folder / 'mine.py'}:Mine")[0]


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        (
            "algorithm",
            ALGORITHM + "    def __init__(self, strength):\n        self.strength = strength\n",
            "mine.py:Mine': it has an __init__ of its own; leave it out, and write each option as a"
            " field: strength: float = 0.5",
        ),
        (
            "algorithm",
            ALGORITHM + "    def client(self):\n        yield\n",
            "mine.py:Mine': its method client has other parameters; write def client(self, c)",
        ),
        (
            "algorithm",
            ALGORITHM + "    def server(self, s, mean, rate):\n        return {}\n",
            "mine.py:Mine': its method server has other parameters; write def server(self, s, mean)",
        ),
        (
            "selection",
            SELECTION + "    candidates: int = 40\n\n" + CHOOSE,
            "mine.py:Mine': its option candidates hides the method candidates of Selection; rename"
            " it",
        ),
        (
            "algorithm",
            ALGORITHM + "    strength = 0.5\n",
            "mine.py failed to load: line 4: strength = 0.5 has no type; an option has one, such as"
            " strength: float, and a constant is strength: ClassVar",
        ),
    ],
    ids=["constructor", "too few", "too many", "hidden", "untyped"],
)
def test_a_class_that_cannot_work_is_refused(
    path: str, source: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        found(tmp_path, source, path)
    (line,) = refused.value.lines
    assert line.startswith(f"{path}.name: ")
    assert line.endswith(said)


def test_an_error_while_a_plug_in_is_loaded_names_the_line_that_ran_last(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("TABLE = {}\nRATE = TABLE['rate']\n")
    with pytest.raises(InputError) as refused:
        found(tmp_path, "import helper\n", "algorithm")
    assert refused.value.lines[0].endswith(
        "mine.py failed to load: line 2 of helper.py: KeyError: 'rate'"
    )


@pytest.mark.parametrize(
    "source",
    [
        ALGORITHM + "    def __init__(self, **options):\n        super().__init__(**options)\n",
        ALGORITHM + "    def client(self, context):\n        yield\n",
        ALGORITHM + "    def client(self, c, rate=0.1):\n        yield\n",
        ALGORITHM + "    def client(self, *all):\n        yield\n",
        ALGORITHM + "    def helper(self, one, two):\n        return one\n",
    ],
)
def test_a_class_that_can_work_is_taken(source: str, tmp_path: Path) -> None:
    kind = found(tmp_path, source, "algorithm")
    assert kind(name="x").name == "x"  # type: ignore[attr-defined,call-arg]


def test_an_option_cannot_be_set_and_the_line_says_where_things_are_kept() -> None:
    with pytest.raises(AttributeError) as refused:
        FedAvg().count = 1
    assert str(refused.value) == (
        "FedAvg has no place for count: an instance never changes; what is kept from call to call"
        " belongs to the state, a client's to Upload(keep=...)"
    )
