"""What is wrong with a command line is one line that says where to read on, and status 2, as any other wrong input."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from mpifl.commands.exits import run_commands
from mpifl.errors import FAILED, WRONG_INPUT


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "--foo"], "no such option: --foo (Possible options: --out). See mpifl run --help"),
        (["chek"], "no such command 'chek'. Did you mean 'check'? See mpifl --help"),
        (
            ["data", "imprt"],
            "no such command 'imprt'. Did you mean 'import'? See mpifl data --help",
        ),
        (["watch"], "missing argument 'RUN_DIR'. See mpifl watch --help"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: list[str], line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mpifl", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"mpifl: {line}\n")


def test_no_words_at_all_are_answered_with_the_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mpifl", "data"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "import" in done.stdout + done.stderr
    assert "mpifl:" not in done.stderr


def app_that(raises: BaseException | None) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def only() -> None:
        if raises is not None:
            raise raises

    return app


@pytest.mark.parametrize(
    ("raised", "status", "text"),
    [
        (None, None, ""),
        (typer.Exit(7), 7, ""),
        (typer.Abort(), FAILED, "mpifl: aborted\n"),
        (
            typer.BadParameter("none\nof these."),
            WRONG_INPUT,
            "mpifl: invalid value: none of these. See mpifl --help\n",
        ),
    ],
)
def test_the_status_is_that_of_what_the_command_raised(
    raised: BaseException | None,
    status: int | None,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["mpifl"])
    with pytest.raises(SystemExit) as ended:
        run_commands(app_that(raised))
    assert ended.value.code == status
    assert capsys.readouterr().err == text
