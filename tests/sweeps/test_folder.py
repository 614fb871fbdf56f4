"""The folder of a sweep: nothing is made of a wrong one, the same command gives the same bytes, and a changed one stops."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mpifl.errors import InputError
from mpifl.job import Job, load_yaml
from mpifl.sweeps.folder import begun_by_one, check_runs, existing, open_sweep
from mpifl.sweeps.index import Index, Random, make_index, read_index, write_index

CHECKING = "mpifl.sweeps.folder.check_runs"

AXES = ["rounds=3", "training.lr=0.1,0.2", "seed=1..2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(*axes: str, job: str = "quickstart") -> Index:
    return make_index(job, axes or AXES, None)


def test_it_is_read_back_as_it_was_written() -> None:
    index = make_index("quickstart", ["training.lr=log(0.01..1)"], Random(points=3, seed=2))
    folder, _ = open_sweep(index, None, None)
    assert folder == Path("sweeps/quickstart")
    assert read_index(folder) == index


def no_yaml(text: str) -> None:
    raise AssertionError("parsed as YAML")


def test_a_task_of_an_array_reads_no_yaml_and_finds_the_same(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """YAML of 10,000 runs takes 10 s. As another command has it the overrides are texts, too."""
    index = made("name=a b,'1',\"é\\u2028\"", "training.lr=0.1,1e-3", "seed=1..100")
    write_index(here, index)
    in_yaml = Index.model_validate(load_yaml((here / "sweep.yaml").read_text("utf-8")))
    monkeypatch.setattr("mpifl.sweeps.index.load_yaml", no_yaml)
    assert read_index(here) == in_yaml == index
    assert begun_by_one(here, index).arguments(600, here) == index.arguments(600, here)
    (here / ".sweep.json").unlink()
    with pytest.raises(AssertionError, match="parsed as YAML"):
        read_index(here)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: text.replace("seed=1", "seed=3", 1).replace(text[:64], "0" * 64),
        lambda text: text.partition("\n")[0] + "\n[]",
        lambda text: text.partition("\n")[0] + "\n" + "[" * 100_000,
    ],
)
def test_what_counts_is_the_yaml(here: Path, damage: Callable[[str], str]) -> None:
    write_index(here, made())
    fast = here / ".sweep.json"
    fast.write_text(damage(fast.read_text()))
    assert read_index(here) == made()


def test_an_index_that_a_person_changed_is_read_anew(here: Path) -> None:
    write_index(here, made())
    path = here / "sweep.yaml"
    path.write_text(path.read_text().replace("1_lr-0.1_seed-1", "renamed"))
    assert read_index(here).runs[0].folder == "renamed"


def test_the_same_command_gives_the_same_bytes_in_a_folder_of_its_own() -> None:
    folders = [open_sweep(made(), None, None)[0] for _ in range(2)]
    assert [folder.name for folder in folders] == ["quickstart", "quickstart-2"]
    first, second = (folder.joinpath("sweep.yaml").read_bytes() for folder in folders)
    assert first == second


def test_the_arguments_of_a_run_start_or_resume_it() -> None:
    assert made().arguments(2, Path("s")) == [
        "quickstart",
        "rounds=3",
        "training.lr=0.1",
        "seed=2",
        "--resume",
        "s/2_lr-0.1_seed-2",
    ]
    with pytest.raises(InputError, match="run 5: s has none of that number; allowed: 1 to 4"):
        made().arguments(5, Path("s"))


def test_one_wrong_run_is_named_and_nothing_is_made(here: Path) -> None:
    wrong = made("training.lr=0.1,-1")
    for out, resume in ((None, None), ("x", None), (None, "x")):
        with pytest.raises(InputError, match=r"run 2 of 2 \(training.lr=-1\): .*-1 is not allowed"):
            open_sweep(wrong, out, resume)
    assert list(here.iterdir()) == []


def test_going_on_makes_what_is_missing_and_finds_what_is_there() -> None:
    for _ in range(2):
        assert open_sweep(made(), None, "s") == (Path("s"), made())
    assert open_sweep(None, None, "s")[1] == made()
    Path("s/.sweep.yaml.7.part").touch()  # of a task that begins at the same time
    Path("s/sweep.yaml").unlink()
    assert existing(Path("s"), made()) is None


@pytest.mark.parametrize(
    ("axes", "out", "said"),
    [
        ("seed=1..2", None, ""),
        ("seed=3..4", None, "with other axes"),
        ("seed=1..2", "s", "not empty"),
        ("seed=3..4", "s", "not empty"),
    ],
)
def test_of_two_sweeps_that_begin_in_a_folder_at_once_the_first_is_there(
    monkeypatch: pytest.MonkeyPatch, axes: str, out: str | None, said: str
) -> None:
    """To check all runs takes long: both commands have found the folder to be empty."""
    resume = None if out else "s"
    first = made("seed=1..2")

    def check_while_another_begins(index: Index, whole: bool) -> list[Job]:
        monkeypatch.setattr(CHECKING, check_runs)
        open_sweep(first, out, resume)
        return check_runs(index, whole)

    monkeypatch.setattr(CHECKING, check_while_another_begins)
    if said:
        with pytest.raises(InputError, match=said):
            open_sweep(made(axes), out, resume)
    else:
        assert open_sweep(made(axes), out, resume) == (Path("s"), first)
    assert read_index(Path("s")) == first


def test_going_on_waits_for_the_command_that_makes_the_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its index is not replaced, which it keeps locked while it runs."""
    first = made("seed=1..2")
    writing = threading.Event()
    go_on = threading.Event()

    def write_slowly(folder: Path, index: Index) -> None:
        writing.set()
        assert go_on.wait(60)
        write_index(folder, index)

    monkeypatch.setattr("mpifl.sweeps.folder.write_index", write_slowly)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(begun_by_one, Path("s"), first)
        assert writing.wait(60)
        other = threads.submit(begun_by_one, Path("s"), made("seed=3..4"))
        go_on.set()
        assert one.result() == first
        with pytest.raises(InputError, match="with other axes"):
            other.result()


def test_another_sweep_or_a_changed_job_does_not_go_on(here: Path) -> None:
    job = here / "mine.yaml"
    source = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"
    job.write_text(source.read_text())
    open_sweep(made(job="mine.yaml"), None, "s")
    with pytest.raises(InputError, match="s is a sweep with other axes"):
        open_sweep(made("seed=1", job="mine.yaml"), None, "s")
    job.write_text(job.read_text() + "\n")
    with pytest.raises(InputError, match="has changed since the sweep began"):
        open_sweep(None, None, "s")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping"),
        ("format: mpifl-sweep", "job: Field required"),
        ("{", "not valid YAML"),
    ],
)
def test_a_damaged_index_is_an_error_that_names_it(here: Path, text: str, said: str) -> None:
    (here / "sweep.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"sweep.yaml: .*{re.escape(said)}"):
        read_index(here)


def test_no_run_is_outside_of_the_folder() -> None:
    folder, index = open_sweep(made(), None, None)
    path = folder / "sweep.yaml"
    path.write_text(path.read_text().replace(index.runs[0].folder, "../../elsewhere"))
    with pytest.raises(InputError, match=r"runs.0.folder"):
        read_index(folder)


@pytest.mark.parametrize(
    ("out", "resume", "said"),
    [
        ("a", "b", "--out: not allowed with --resume"),
        ("full", None, "--out: full: not empty"),
        (None, "full", "--resume: full: not empty, and no sweep.yaml there"),
        (None, "file", "--resume: file: is a file"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(
    here: Path, out: str | None, resume: str | None, said: str
) -> None:
    (here / "full" / "x").mkdir(parents=True)
    (here / "file").touch()
    with pytest.raises(InputError, match=re.escape(said)):
        open_sweep(made(), out, resume)


def test_an_index_that_could_not_be_read_again_is_not_made(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10,000 runs with long changes."""
    monkeypatch.setattr("mpifl.sweeps.index.LONGEST_TEXT", 400)
    with pytest.raises(InputError, match=r"4 runs would take \d+ characters; allowed: at most 400"):
        open_sweep(made(), None, "s")
    assert not (here / "s" / "sweep.yaml").exists()
