"""What a terminal shows of a run between its start and its end. A small program stands for mpirun and its ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mpifl.io.log import OUTPUT
from mpifl.record.status import MARK
from tests.commands.test_status_view import status
from tests.terminal import CTRL_C, CTRL_Z, HIDE_CURSOR, SHOW_CURSOR, Terminal

ATTEND = "import sys; from mpifl.commands.attend import attend; sys.exit(attend([sys.executable, *sys.argv[1:]]))"
TOLD = [
    f"{MARK}{replace(status(), **changed).json()}\n"
    for changed in ({}, {"round": 72}, {"state": "ended"}, {"state": "stopped"})
]
BEGIN = f"""
import os, signal, sys, time
def say(text):
    os.write(1, text.encode())
def wait(name):
    while not os.path.exists(name):
        time.sleep(0.02)
def asked(number, frame):
    say("stopping\\n")
    sys.exit(75)
signal.signal(signal.SIGUSR1, asked)
RUNNING, LATER, ENDED, STOPPED = {TOLD!r}
"""


def shown(folder: Path, program: str) -> Terminal:
    """A program that stands for mpirun, on a terminal."""
    line = [sys.executable, "-c", ATTEND, "-c", BEGIN + program]
    return Terminal(folder, *line, environment={OUTPUT: "live"}, columns=80)


def test_lines_stay_as_they_are_above_the_numbers_and_the_last_ones_alone(tmp_path: Path) -> None:
    long = "x" * 170
    terminal = shown(
        tmp_path,
        f"""
say("first [bold] :smile:\\n" + RUNNING + "{long}\\n")
os.write(2, b"mpifl: a warning\\n")
wait("seen")
say("a line without an end " + LATER + "\\x1e not a status\\n")
wait("seen more")
say("closing\\n" + ENDED + "the very last")
""",
    )
    terminal.until_shown("round 71/100(.|\n)*on 3 ranks")
    terminal.until_shown("mpifl: a warning\nquickstart ")
    (tmp_path / "seen").touch()
    terminal.until_shown("a line without an end\nquickstart .*round 72/100")
    (tmp_path / "seen more").touch()
    assert terminal.end() == 0
    lines = terminal.shown.splitlines()
    assert lines == [
        "first [bold] :smile:",
        *("x" * 80, "x" * 80, "x" * 10),
        "mpifl: a warning",
        "a line without an end",
        "closing",
        "the very last",
    ]
    assert terminal.text.rindex(SHOW_CURSOR) > terminal.text.rindex(HIDE_CURSOR)


def test_what_open_mpi_says_of_collectives_that_a_loss_cuts_off_is_left_out(tmp_path: Path) -> None:
    said = "NBC_Progress: an error 77 was found during schedule 0x55 at row-offset 0 - aborting the schedule\n\n"
    terminal = shown(
        tmp_path,
        f"say('first\\n')\nsay({said!r} * 2 + '1 rank lost\\n')\nsay(RUNNING + {said!r} + 'last\\n' + ENDED)",
    )
    assert terminal.end() == 0
    assert terminal.shown.splitlines() == ["first", "1 rank lost", "last"]


def test_before_the_first_status_the_time_goes_on(tmp_path: Path) -> None:
    terminal = shown(tmp_path, "wait('seen')")
    terminal.until_shown("starting, [1-9]")
    (tmp_path / "seen").touch()
    assert terminal.end() == 0
    assert terminal.shown == ""


def test_ctrl_c_leaves_the_last_numbers_and_the_cursor(tmp_path: Path) -> None:
    program = "say(RUNNING)\ntry: time.sleep(99)\nfinally: say(STOPPED + 'go on with --resume\\n')"
    terminal = shown(tmp_path, program)
    terminal.until_shown("round 71/100, 3.6 s left")
    terminal.press(CTRL_C)
    assert terminal.end() == 75
    assert terminal.shown.startswith("stopping\nquickstart ")
    assert "round 71/100, stopped\nscore " in terminal.shown
    assert terminal.shown.endswith("\ngo on with --resume")
    assert not terminal.screen.cursor.hidden


def test_a_run_that_says_no_last_word_leaves_what_it_said(tmp_path: Path) -> None:
    terminal = shown(tmp_path, "say(RUNNING); wait('seen'); say('an error\\n'); sys.exit(1)")
    terminal.until_shown("round 71/100")
    (tmp_path / "seen").touch()
    assert terminal.end() == 1
    assert terminal.shown.startswith("an error\nquickstart ")
    assert not terminal.screen.cursor.hidden


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(tmp_path: Path) -> None:
    terminal = shown(tmp_path, "say(RUNNING); wait('seen'); say(LATER); wait('end'); say(ENDED)")
    terminal.until_shown("round 71/100")
    terminal.press(CTRL_Z)
    os.waitid(os.P_PID, terminal.program.pid, os.WSTOPPED | os.WNOWAIT)
    terminal.until(SHOW_CURSOR)
    assert terminal.shown == ""
    (tmp_path / "seen").touch()
    terminal.program.send_signal(signal.SIGCONT)
    terminal.until_shown("round 72/100(.|\n)*on 3 ranks")
    (tmp_path / "end").touch()
    assert terminal.end() == 0
    assert not terminal.screen.cursor.hidden


def test_a_terminal_that_has_gone_holds_nothing_up(tmp_path: Path) -> None:
    program = """
signal.signal(signal.SIGUSR1, lambda *_: None)
say(RUNNING)
wait("gone")
for _ in range(100):
    say("x" * 4096 + "\\n" + LATER)
sys.exit(7)
"""
    terminal = shown(tmp_path, program)
    terminal.until_shown("round 71/100")
    assert terminal.hang_up(tmp_path / "gone") == 7


@pytest.mark.parametrize("asked", ["lines", "quiet"])
def test_without_a_drawing_nothing_large_is_imported(asked: str) -> None:
    code = (
        "import os, sys; os.environ[sys.argv[1]] = sys.argv[2]; from mpifl.commands.attend import attend;"
        " attend([sys.executable, '-c', 'pass']); print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, OUTPUT, asked], capture_output=True, text=True, check=True
    )
    assert not {"rich", "numpy", "pydantic", "typer"} & set(done.stdout.split())
