"""What a person sees of a run on a real terminal, and what Ctrl-C does there."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpifl.cluster.signals import STOPPING, Stop
from mpifl.errors import INTERRUPTED
from mpifl.state.checkpoint import last_checkpoint
from tests.launching import LIMIT_SECONDS

CTRL_C = b"\x03"
# The terminal on its standard input becomes the one that it is controlled from, as a shell's is. No signal is ignored there,
# whatever the tests were started with (nohup, or `&` in a script).
CONTROLLED = """
import fcntl, os, signal, sys, termios
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
MPIFL = [sys.executable, "-m", "mpifl", "run"]
STARTS = {
    "alone": [sys.executable, "-m", "mpifl.run"],
    "1 rank": [*MPIFL, "-n", "1"],
    "3 ranks": [*MPIFL, "-n", "3"],
}
SLEEPS = """
import time
from mpifl.algorithms.fedavg import FedAvg

class Mine(FedAvg):
    name: str = "mine"

    def client(self, c):
        yield from super().client(c)
        print("asleep", flush=True)
        time.sleep(1e6)
"""


class Terminal:
    """A terminal of its own with one program on it."""

    def __init__(self, folder: Path, *line: str) -> None:
        self._ours, theirs = pty.openpty()
        start = [sys.executable, "-c", CONTROLLED, *line]
        self._program = subprocess.Popen(
            start, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def _read(self) -> bool:
        """Whether more has come. At the end Linux says that there is no such terminal any more."""
        try:
            more = os.read(self._ours, 1 << 16)
        except OSError:
            return False
        self.text += more.decode().replace("\r\n", "\n")
        return bool(more)

    def until(self, said: str) -> None:
        while said not in self.text:
            assert self._read(), self.text

    def last_line(self) -> str:
        """The last line that is not a warning of mpirun's event library, which races as it ends."""
        lines = self.text.splitlines()
        return next(line for line in reversed(lines) if not line.startswith("[warn] Epoll"))

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def end(self) -> int:
        """What the program ends with."""
        while self._read():
            pass
        os.close(self._ours)
        return self._program.wait(timeout=LIMIT_SECONDS)


@pytest.mark.parametrize("start", STARTS)
def test_lines_come_as_rounds_end_and_ctrl_c_ends_it_after_one_with_a_checkpoint(
    tmp_path: Path, start: str
) -> None:
    terminal = Terminal(
        tmp_path, *STARTS[start], "quickstart", "rounds=1000000", "checkpoint.every=1000000"
    )
    terminal.until("round 2/1000000, ")
    terminal.press(CTRL_C)
    status = terminal.end()
    assert status == INTERRUPTED, terminal.text
    assert terminal.text.count(f"mpifl: {STOPPING}\n") == 1
    last = terminal.last_line()
    ranks = start.partition(" ")[0].replace("alone", "1")
    again = f"mpifl run -n {ranks} --resume runs/quickstart"
    found = re.fullmatch(
        rf"mpifl: stopped after round (\d+), with a checkpoint; to go on: {again}", last
    )
    assert found, last
    saved = last_checkpoint(tmp_path / "runs" / "quickstart" / "checkpoint")
    assert saved is not None
    assert saved.rounds_done == int(found[1])
    assert (
        "\x1b" not in terminal.text
    )  # nothing that hides the cursor or colours what a log would keep
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("start", ["alone", "3 ranks"])
def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, start: str) -> None:
    (tmp_path / "mine.py").write_text(SLEEPS)
    terminal = Terminal(
        tmp_path, *STARTS[start], "quickstart", "algorithm=./mine.py:Mine", "training.engine=loop"
    )
    terminal.until("asleep\n")
    terminal.press(CTRL_C)
    terminal.until(f"mpifl: {STOPPING}\n")
    terminal.press(CTRL_C)
    assert terminal.end() == INTERRUPTED, terminal.text
    assert "mpifl: ended at once; to go on from the last checkpoint: mpifl run -n " in terminal.text
    assert "Traceback" not in terminal.text


@pytest.fixture
def handlers() -> Iterator[None]:
    """The default handlers, whatever the tests were started with; afterwards those that were there before."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_what_came_before_a_rank_knew_its_number_is_said_once_it_knows(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    stop = Stop()
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop()
    assert capfd.readouterr().err == ""
    stop.speak()
    stop.speak()
    assert capfd.readouterr().err == f"mpifl: {STOPPING}\n"


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = Stop()
    os.kill(os.getpid(), signal.SIGINT)
    assert not stop()
