"""Where a run finds its plug-ins: what was there when it began, wherever the run directory is and whatever came after."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mpifl.errors import WRONG_INPUT, InputError
from mpifl.record.run_directory import make_run_directory, write_environment
from mpifl.state.resume import RunStart, begin, content_hashes, take_over
from mpifl.traces.trace import Trace, write_trace
from tests.models.library import library

JOB = """
name: plugged
rounds: 20
data: {name: sizes, samples_per_client: {quantiles: {0: 1, 100: 60}}}
population: {clients: 200, trace: %s}
model: {name: sized, parameters: 1000}
training: {engine: none, batch_size: 5}
selection: {name: %s, participants: 5}
"""
MINE = """
from helper import VALUE
from mpifl.selection.uniform import Uniform

class Mine(Uniform):
    value: float = VALUE
    def late(self):
        import later
        return later.VALUE

class Other(Mine):
    pass
"""


@pytest.fixture
def folder(
    tmp_path: Path, make_trace: Callable[..., Trace], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with code/mine.py, code/helper.py, code/later.py and job.yaml; the working directory is another one."""
    write_trace(tmp_path / "trace.h5", make_trace([[(0, 100)]] * 4))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text(MINE)
    for name in ("helper", "later"):
        (tmp_path / "code" / f"{name}.py").write_text("VALUE = 1")
    (tmp_path / "asked.yaml").write_text(JOB % (tmp_path / "trace.h5", "code/mine.py:Mine"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def begun(job: Path | str | None, out: Path, *overrides: str, resume: bool = False) -> RunStart:
    """What begins; the run directory is then as a run leaves it that was killed early."""
    where = {"out": None, "resume": str(out)} if resume else {"out": str(out), "resume": None}
    beginning = begin(None if job is None else str(job), overrides, **where)
    beginning.lock.close()
    plug_ins = beginning.experiment.job.plug_ins
    write_environment(beginning.folder, "no MPI", [], beginning.content_sha256, plug_ins)
    return beginning


def rule(beginning: RunStart) -> Any:
    return beginning.experiment.job.selection


def hash_of(beginning: RunStart) -> str:
    return beginning.experiment.job.plug_ins["selection.name"].sha256


def recorded(out: Path) -> str:
    facts = json.loads((out / "environment.json").read_text())["plug_ins"]["selection.name"]
    return str(facts["sha256"])


def refusal(do: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        do()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    del caught
    gc.collect()  # its frames hold the lock
    return message


def edit(path: Path) -> None:
    path.write_text(
        path.read_text().replace("VALUE = 1", "VALUE = 2").replace("= VALUE", "= VALUE + 1")
    )


def test_a_run_directory_holds_the_plug_in_and_its_hash(folder: Path) -> None:
    beginning = begun(folder / "asked.yaml", folder / "out")
    copies = folder / "out" / "plugins" / "selection"
    names = sorted(path.name for path in copies.iterdir())
    assert names == ["copied_from.txt", "helper.py", "later.py", "mine.py"]
    assert (copies / "mine.py").read_bytes() == (folder / "code" / "mine.py").read_bytes()
    assert "plugins/selection/mine.py:Mine" in (folder / "out" / "job.yaml").read_text()
    assert str(folder / "code") not in (folder / "out" / "job.yaml").read_text()
    assert recorded(folder / "out") == hash_of(beginning)
    assert rule(beginning).name == f"{copies}/mine.py:Mine"  # what other ranks are told


@pytest.mark.parametrize(
    "left",
    [
        ".job.yaml.77.part",
        "plugins/selection/.mine.py.77.part",
        "plugins/selection/mine.py",
        "checkpoint/lock",
    ],
)
def test_a_start_that_was_killed_before_its_job_was_written_begins_again(
    folder: Path, left: str
) -> None:
    """As ``mpifl slurm``'s script does it, which always resumes. Another folder is left alone."""
    whole = begun(folder / "asked.yaml", folder / "whole")
    path = folder / "out" / left
    path.parent.mkdir(parents=True)
    path.write_text("half of")
    again = begun(folder / "asked.yaml", folder / "out", resume=True)
    assert hash_of(again) == hash_of(whole)
    jobs = [(folder / name / "job.yaml").read_text() for name in ("out", "whole")]
    assert jobs[0] == jobs[1]
    assert path.exists() != path.name.endswith(".part")
    assert hash_of(begun(None, folder / "out", resume=True)) == hash_of(whole)

    (folder / "other" / "plugins").mkdir(parents=True)
    (folder / "other" / "notes.txt").touch()
    message = refusal(lambda: begun(folder / "asked.yaml", folder / "other", resume=True))
    assert "not empty, and no job.yaml there" in message


MAKING = "mpifl.state.new_directory.make_run_directory"


@pytest.mark.parametrize("resume", [False, True])
def test_of_two_starts_in_a_directory_one_is_refused_and_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, resume: bool
) -> None:
    """The second has found the directory to be empty, too, and has been slower."""
    first: list[RunStart] = []
    option = {"resume" if resume else "out": str(folder / "out")}
    other = {"out": None, "resume": None} | option
    make = make_run_directory

    def make_after_another(*arguments: Any, **options: Any) -> Path:
        path = make(*arguments, **options)
        if not first:
            monkeypatch.setattr(MAKING, make)
            first.append(begin(str(folder / "asked.yaml"), ["seed=1"], **other))
        return path

    monkeypatch.setattr(MAKING, make_after_another)
    message = refusal(lambda: begin(str(folder / "asked.yaml"), ["seed=2"], **other))
    assert "another run" in message
    assert "seed: 1\n" in (folder / "out" / "job.yaml").read_text()

    first[0].lock.close()
    message = refusal(
        lambda: begin(str(folder / "asked.yaml"), ["seed=2"], str(folder / "out"), None)
    )
    assert message.startswith("--out: ")
    assert "seed: 1\n" in (folder / "out" / "job.yaml").read_text()


def test_a_start_in_a_folder_with_something_else_names_the_option_that_named_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other").mkdir()
    monkeypatch.setattr("mpifl.state.resume.check_asked", lambda *_: None)  # something comes later
    (folder / "other" / "notes.txt").touch()
    message = refusal(lambda: begun(folder / "asked.yaml", folder / "other", resume=True))
    assert message.startswith("--resume: ")


def test_a_directory_that_cannot_be_written_to_is_refused(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "plugins").touch()  # root may write to any folder
    message = refusal(lambda: begun(folder / "asked.yaml", folder / "out", resume=True))
    assert message.startswith(f"--resume: {folder / 'out'}: ")


@pytest.mark.parametrize("file", ["mine.py", "helper.py", "later.py"])
def test_a_run_goes_on_with_its_own_copies(folder: Path, file: str) -> None:
    first = begun(folder / "asked.yaml", folder / "out")
    edit(folder / "code" / file)
    again = begun(None, folder / "out", resume=True)
    assert (rule(again).value, rule(again).late(), hash_of(again)) == (1, 1, hash_of(first))
    shutil.rmtree(folder / "code")
    shutil.move(folder / "out", folder / "moved")
    moved = begun(None, folder / "moved", resume=True)
    assert hash_of(moved) == hash_of(first)
    taking_over = take_over(folder / "moved")
    taking_over.lock.close()
    assert rule(taking_over).name == f"{folder}/moved/plugins/selection/mine.py:Mine"


@pytest.mark.parametrize("file", ["mine.py", "helper.py", "later.py"])
def test_a_copy_that_was_edited_is_refused_with_both_hashes(folder: Path, file: str) -> None:
    first = begun(folder / "asked.yaml", folder / "out")
    copy = folder / "out" / "plugins" / "selection" / file
    edit(copy)
    for do in (
        lambda: begun(None, folder / "out", resume=True),
        lambda: begun(folder / "out" / "job.yaml", folder / "new"),
        lambda: take_over(folder / "out"),
    ):
        message = refusal(do)
        assert "selection.name: the source of " in message
        assert f" and {hash_of(first)[:12]} in " in message
        assert f"({file})" in message
        assert not (folder / "new").exists()
    copy.unlink()
    assert "out/job.yaml: selection.name: " in refusal(
        lambda: begun(None, folder / "out", resume=True)
    )


def test_a_copy_that_was_edited_can_be_run_when_it_is_named(folder: Path) -> None:
    first = begun(folder / "asked.yaml", folder / "out")
    copy = folder / "out" / "plugins" / "selection" / "later.py"
    edit(copy)
    other = begun(
        folder / "out" / "job.yaml",
        folder / "new",
        f"selection.name={copy.with_name('mine.py')}:Mine",
    )
    assert rule(other).late() == 2
    assert recorded(folder / "new") == hash_of(other) != hash_of(first)


def test_a_job_that_is_named_when_a_run_goes_on_has_to_have_the_same_source(folder: Path) -> None:
    first = begun(folder / "asked.yaml", folder / "out")
    assert hash_of(begun(folder / "asked.yaml", folder / "out", resume=True)) == hash_of(first)
    named = f"selection.name={folder}/code/mine.py:Mine"
    assert hash_of(begun(None, folder / "out", named, resume=True)) == hash_of(first)
    message = refusal(
        lambda: begun(None, folder / "out", named.replace("Mine", "Other"), resume=True)
    )
    assert "selection.name is " in message
    edit(folder / "code" / "helper.py")
    for job, overrides in ((folder / "asked.yaml", []), (None, [named])):
        message = refusal(partial(begun, job, folder / "out", *overrides, resume=True))
        assert message.startswith("--resume: selection.name: the source of ")
        assert hash_of(first)[:12] in message
        assert len({word for word in message.split() if len(word.strip(",;")) == 12}) == 2


def test_a_run_that_is_run_again_takes_its_copies_along(folder: Path) -> None:
    first = begun(folder / "asked.yaml", folder / "out")
    shutil.rmtree(folder / "code")
    begun(folder / "out" / "job.yaml", folder / "second")
    shutil.rmtree(folder / "out")
    third = begun(folder / "second" / "job.yaml", folder / "third")
    assert recorded(folder / "second") == recorded(folder / "third") == hash_of(first)
    assert (folder / "third" / "job.yaml").read_text() == (
        folder / "second" / "job.yaml"
    ).read_text()
    assert rule(third).late() == 1


def test_a_module_that_has_changed_is_refused_with_both_hashes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "path" / "begun_pack"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(MINE.replace("from helper", "from begun_pack.helper"))
    (package / "helper.py").write_text("VALUE = 1")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.syspath_prepend(str(package.parent))
    first = begun(folder / "asked.yaml", folder / "out", "selection.name=begun_pack.mine:Mine")
    assert not (folder / "out" / "plugins").exists()
    assert "begun_pack.mine:Mine" in (folder / "out" / "job.yaml").read_text()
    assert hash_of(begun(None, folder / "out", resume=True)) == hash_of(first)
    edit(package / "helper.py")
    line = [
        sys.executable,
        "-m",
        "mpifl",
        "check",
        str(folder / "out" / "job.yaml"),
    ]  # this process has imported it
    refused = subprocess.run(line, capture_output=True, text=True, check=False)
    assert refused.returncode == WRONG_INPUT
    assert (
        f" and {hash_of(first)[:12]} in {folder}/out/environment.json (begun_pack/helper.py)"
        in refused.stderr
    )
    assert len(refused.stderr.splitlines()) == 1
    allowed = subprocess.run(
        [*line, "selection.name=begun_pack.mine:Mine"], capture_output=True, text=True, check=False
    )
    assert allowed.returncode == 0, allowed.stderr


def test_a_table_of_devices_that_has_changed_is_refused(folder: Path) -> None:
    table = folder / "rows.csv"
    rows = [f"{client},{client % 4}" for client in range(200)]
    table.write_text("\n".join(["client,device", *rows]))
    pinned = (f"population.devices={table}", "selection.name=uniform")
    begun(folder / "asked.yaml", folder / "out", *pinned)
    hashes = json.loads((folder / "out" / "environment.json").read_text())["content_sha256"]
    assert hashes["devices"] == hashlib.sha256(table.read_bytes()).hexdigest()
    begun(None, folder / "out", resume=True)

    table.write_text("\n".join(["client,device", *reversed(rows)]))
    message = refusal(lambda: begun(None, folder / "out", resume=True))
    assert "the content of population.devices has changed since the run began" in message


def test_a_network_that_has_changed_is_refused(folder: Path) -> None:
    library("transformers")
    config = folder / "config.json"
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3}
    sizes |= {"image_size": 8, "patch_size": 4, "intermediate_size": 16}
    config.write_text(json.dumps({"model_type": "vit", **sizes}))
    begun("quickstart", folder / "out", f"model={{name: 'hf:{config}', weights: random}}")
    begun(None, folder / "out", resume=True)

    config.write_text(json.dumps({"model_type": "vit", **sizes, "hidden_act": "relu"}))
    message = refusal(lambda: begun(None, folder / "out", resume=True))
    assert "the content of model.config has changed since the run began" in message


def test_a_graph_that_was_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edges.txt").write_text("0 1\n1 2\n")
    monkeypatch.chdir(tmp_path)
    graph = "protocol={name: gossip, graph: {name: file, path: edges.txt}}"
    clients = ("data.partition.clients=3", "selection.participants=null", "clock={mode: all}")
    job = Path("quickstart")
    beginning = begun(job, tmp_path / "out", graph, *clients)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    again = begun(None, tmp_path / "out", resume=True)
    assert again.content_sha256 == beginning.content_sha256
    assert again.content_sha256.keys() == {"data", "trace", "graph"}

    (tmp_path / "edges.txt").write_text("0 1\n0 2\n")
    message = refusal(lambda: begun(None, tmp_path / "out", resume=True))
    assert "the content of protocol.graph.path has changed since the run began" in message


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"content_sha256": 3}', '{"content_sha256": {}, "earlier": {}}', "\0"]
)
def test_hashes_of_inputs_are_not_taken_from_a_damaged_file(tmp_path: Path, text: str) -> None:
    assert content_hashes(tmp_path) is None
    (tmp_path / "environment.json").write_text(text)
    message = refusal(lambda: content_hashes(tmp_path))
    assert message.startswith(f"{tmp_path}/environment.json: damaged; restore it from a copy, or")
