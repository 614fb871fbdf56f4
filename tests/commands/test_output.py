"""What is there already is written over only when that was said; what cannot be written is told before any work is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mpifl.__main__ import app

Run = Callable[..., Any]
COMMANDS = {
    "data import": ("data", "import", "sizes", "sizes.csv", "-o", "x.h5"),
    "traces import": ("traces", "import", "csv", "devices.csv", "-o", "x.h5"),
    "traces synth": ("traces", "synth", "phones", "--phones", "3", "-o", "x.h5"),
    "traces show": ("traces", "show", "phones", "--picture", "x.png"),
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``mpifl ARGUMENTS`` in a folder with sources."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sizes.csv").write_text("client,size\na,1\n")
    (tmp_path / "devices.csv").write_text("compute_ms_per_sample\n10\n")
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_there_is_kept_unless_it_is_to_go(run: Run, tmp_path: Path, name: str) -> None:
    *line, out = COMMANDS[name]
    (tmp_path / out).write_text("precious")
    refused = run(*line, out)
    assert refused.exit_code == 2
    assert refused.stderr == f"mpifl: {out}: exists already; name another file, or say --force\n"
    assert refused.stdout == ""  # nothing was done before
    assert (tmp_path / out).read_text() == "precious"
    done = run(*line, out, "--force")
    assert done.exit_code == 0, done.output
    assert (tmp_path / out).read_bytes() != b"precious"


@pytest.mark.parametrize("name", COMMANDS)
def test_where_nothing_can_be_written_is_told_first(run: Run, tmp_path: Path, name: str) -> None:
    *line, out = COMMANDS[name]
    (tmp_path / f"folder{Path(out).suffix}").mkdir()
    for target, said in (
        (f"none/{out}", "there is no folder none"),
        (f"folder{Path(out).suffix}", "is a folder; name a file"),
    ):
        refused = run(*line, target)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr == f"mpifl: {target}: {said}\n"


def test_one_of_something_is_one(run: Run, tmp_path: Path) -> None:
    assert "train: 1 sample of 1 client\n" in run(*COMMANDS["data import"]).stdout
    (tmp_path / "x.h5").unlink()
    assert run("traces", "synth", "phones", "--phones", "1", "-o", "x.h5").stdout.startswith(
        "1 phone, "
    )


@pytest.mark.parametrize(
    "line",
    [
        ("data", "import", "sizes", "sizes.csv", "-o", "sizes.csv"),
        ("data", "import", "sizes", "sizes.csv", "-o", "linked.csv"),
        ("data", "import", "sizes", "sizes.csv", "--test", "test.csv", "-o", "test.csv"),
        ("traces", "import", "csv", "devices.csv", "-o", "devices.csv"),
        ("traces", "import", "csv", "devices.csv", "--base", "base.h5", "-o", "base.h5"),
    ],
    ids=" ".join,
)
def test_a_source_is_kept_whatever_is_said(run: Run, tmp_path: Path, line: tuple[str, ...]) -> None:
    (tmp_path / "test.csv").write_text("client,size\na,1\n")
    (tmp_path / "linked.csv").symlink_to("sizes.csv")
    run("traces", "synth", "phones", "--phones", "3", "-o", "base.h5")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    refused = run(*line, "--force")
    assert refused.exit_code == 2
    assert refused.stderr == (
        f"mpifl: {line[-1]}: is a source of this command and is kept; name another file\n"
    )
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
