"""What `mpifl watch` says of a run directory, whatever state the run is in. e2e/test_terminal.py watches a real run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from mpifl.commands.watch import Watched, _print
from tests.commands.test_status_view import status
from tests.launching import LIMIT_SECONDS
from tests.terminal import CTRL_C, SHOW_CURSOR, Terminal

WATCH = [sys.executable, "-m", "mpifl", "watch"]


def tell(folder: Path, **changed: Any) -> None:
    """Write a status as a run of another host does it, now."""
    told = asdict(status(**{"written": time.time(), **changed}))
    (folder / "new").write_text(json.dumps(told))
    (folder / "new").replace(folder / "status.json")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text("rounds: 100\n")
    return tmp_path


def watched(*arguments: object) -> subprocess.Popen[str]:
    line = [*WATCH, *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("state", "code"), [("ended", 0), ("stopped", 75), ("failed", 1)])
def test_a_run_that_is_over_is_shown_once_and_its_end_is_the_status(
    run: Path, state: str, code: int
) -> None:
    tell(run, state=state, written=1.0)
    watch = watched(run)
    out, err = watch.communicate(timeout=LIMIT_SECONDS)
    assert (watch.returncode, err) == (code, "")
    assert out.startswith(f"round 71/100, {state}, virtual 13:34 min, accuracy 0.9453")
    assert out.count("\n") == 1


def test_a_line_comes_whenever_rounds_have_ended(run: Path) -> None:
    watch = watched(run)
    assert watch.stdout is not None
    for number in (1, 2, 4):
        tell(run, round=number)
        assert watch.stdout.readline().startswith(f"round {number}/100, running, ")
        tell(run, round=number)  # only to say that it lives
    (run / "summary.json").touch()  # its last status could not be written
    out, err = watch.communicate(timeout=LIMIT_SECONDS)
    assert out.startswith("round 4/100, ended, ")
    assert (watch.returncode, err, out.count("\n")) == (0, "", 1)


@pytest.mark.parametrize("name", ["", "none", "file"])
def test_what_is_no_run_directory_is_told_in_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    watch = watched(tmp_path / name)
    out, err = watch.communicate(timeout=LIMIT_SECONDS)
    assert watch.returncode == 2
    assert out == ""
    assert err.startswith(f"mpifl: {tmp_path / name}: not a run directory")
    assert err.count("\n") == 1


def test_how_long_nothing_has_come_is_told_and_no_more(run: Path) -> None:
    tell(run, written=time.time() - 100)
    terminal = Terminal(run, *WATCH, ".", columns=80)
    terminal.until_shown(
        "nothing new for 1:4[0-9] min: the run, its host or the file system may hang"
    )
    tell(run, round=72)
    terminal.until_shown("round 72/100(.|\n)*on 3 ranks$")
    terminal.press(CTRL_C)
    assert terminal.end() == 128 + signal.SIGINT
    assert terminal.text.rstrip().endswith(SHOW_CURSOR) or not terminal.screen.cursor.hidden


def test_a_process_of_this_host_that_is_not_there_any_more_is_told(run: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tell(run, host=socket.gethostname(), pid=os.getpid())
    terminal = Terminal(run, *WATCH, ".", columns=80)
    terminal.until_shown("on 3 ranks$")
    tell(run, host=socket.gethostname(), pid=gone.pid)
    terminal.until_shown(f"there is no process {gone.pid} on this host any more")
    terminal.program.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM
    assert not terminal.screen.cursor.hidden


def test_a_run_that_has_told_nothing_yet(run: Path) -> None:
    terminal = Terminal(run, *WATCH, ".", columns=80)
    terminal.until_shown("no status yet")
    tell(run, state="ended", round=100)
    assert terminal.end() == 0
    assert terminal.shown.splitlines()[0].endswith("round 100/100, ended")


def test_where_there_is_no_terminal_a_run_that_tells_nothing_is_said_once(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look_and_end(watched: Watched) -> Iterator[None]:
        for number in range(3):
            watched.age = 100.0 * number
            yield
        watched.status = status(state="ended")

    monkeypatch.setattr("mpifl.commands.watch._looks", look_and_end)
    _print(Watched(run))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "mpifl: no status yet (1:40 min)\n")


def test_a_folder_of_runs_is_a_table(tmp_path: Path) -> None:
    for name, state in [("a", "ended"), ("b", "running"), ("c", "stopped")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.yaml").touch()
        tell(tmp_path / name, state=state, seconds_left=None)
    (tmp_path / "other").mkdir()

    terminal = Terminal(tmp_path, *WATCH, ".", columns=80)
    terminal.until_shown("c  round")
    assert [" ".join(line.split()) for line in terminal.shown.splitlines()] == [
        "b round 71/100 accuracy 0.9453",
        "a round 71/100, ended accuracy 0.9453",
        "c round 71/100, stopped accuracy 0.9453",
    ]
    tell(tmp_path / "b", state="ended", round=100)
    terminal.until_shown("b +round 100/100, ended")
    terminal.press(CTRL_C)
    assert terminal.end() == 130
    assert not terminal.screen.cursor.hidden

    watch = watched(tmp_path)
    out, err = watch.communicate(timeout=LIMIT_SECONDS)
    assert (watch.returncode, err, out.count("\n")) == (0, "", 3)
