"""What a person sees of a run on a real terminal, and what Ctrl-C does there."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpifl.cluster.signals import KILLED_SECONDS, STOPPING, Stop
from mpifl.errors import INTERRUPTED
from mpifl.state.checkpoint import last_checkpoint
from tests.terminal import CTRL_C, HIDE_CURSOR, SHOW_CURSOR, Terminal

MPIFL = [sys.executable, "-m", "mpifl", "run"]
STARTS = {
    "alone": [sys.executable, "-m", "mpifl.run"],
    "1 rank": [*MPIFL, "-n", "1"],
    "3 ranks": [*MPIFL, "-n", "3"],
}
LONG = ("quickstart", "rounds=1000000", "checkpoint.every=1000000")
SLOW = """
import time
from mpifl.algorithms.fedavg import FedAvg

class Mine(FedAvg):
    name: str = "mine"

    def client(self, c):
        time.sleep(0.1)
        return (yield from super().client(c))
"""
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


def stopped_in(folder: Path, terminal: Terminal, ranks: int) -> None:
    """A run was stopped by Ctrl-C, said so in a line at its end, and has a checkpoint.

    mpirun may pass on this line, of standard error, before the last status, of standard output.
    Then it stands above the drawing, else below it.
    """
    status = terminal.end()
    assert status == INTERRUPTED, terminal.text
    assert terminal.text.count(f"mpifl: {STOPPING}\n") == 1
    again = f"mpifl run -n {ranks} --resume runs/quickstart"
    said = rf"mpifl: stopped after round (\d+), with a checkpoint; to go on: {again}\n"
    (number,) = re.findall(said, terminal.text)
    saved = last_checkpoint(folder / "runs" / "quickstart" / "checkpoint")
    assert saved is not None
    assert saved.rounds_done == int(number)
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("start", ["alone", "dumb"])
def test_lines_come_as_rounds_end_and_ctrl_c_ends_it_after_one_with_a_checkpoint(
    tmp_path: Path, start: str
) -> None:
    """With mpirun alone, or on a terminal that cannot be drawn on."""
    line = STARTS["1 rank" if start == "dumb" else start]
    terminal = Terminal(tmp_path, *line, *LONG, environment={"TERM": "dumb"})
    terminal.until("round 2/1000000, ")
    terminal.press(CTRL_C)
    stopped_in(tmp_path, terminal, ranks=1)
    assert (
        "\x1b" not in terminal.text
    )  # nothing that hides the cursor or colours what a log would keep


def test_the_display_moves_with_the_rounds_and_watch_shows_the_same(tmp_path: Path) -> None:
    """Every round that is in log.txt comes to both; Ctrl-C leaves cursor and checkpoint."""
    (tmp_path / "mine.py").write_text(SLOW)
    terminal = Terminal(tmp_path, *STARTS["3 ranks"], *LONG, "algorithm=./mine.py:Mine", columns=80)
    run = tmp_path / "runs" / "quickstart"
    terminal.until_shown(r"round 1/1,000,000")
    assert terminal.screen.cursor.hidden
    watch = Terminal(
        tmp_path, sys.executable, "-m", "mpifl", "watch", "runs/quickstart", columns=40
    )
    watch.until_shown(r"round \d+/1,000,000")

    for _ in range(2):
        number = last_round(run) + 1
        while last_round(run) < number:
            time.sleep(0.01)
        for seen in (terminal, watch):
            while shown_round(seen) < number:
                seen.look()
    # What is on the screen between two reads may be half of a picture: wait until the other half has come.
    terminal.until_shown(r"score +accuracy 0\.\d{4} \(best .*\n.*\n.*\d+ of 13 participants")
    assert "round 1/1000000" not in terminal.shown  # the line of a round
    assert all(len(line) <= 40 for line in watch.shown.splitlines())

    watch.press(CTRL_C)
    assert watch.end() == 130
    assert not watch.screen.cursor.hidden
    terminal.resize(40)
    terminal.press(CTRL_C)
    stopped_in(tmp_path, terminal, ranks=3)
    cursor = terminal.screen.cursor
    assert not cursor.hidden
    assert terminal.text.rindex(SHOW_CURSOR) > terminal.text.rindex(HIDE_CURSOR)
    assert re.search(r"round \d+/1,000,000, stopped", terminal.shown), terminal.shown

    again = Terminal(tmp_path, sys.executable, "-m", "mpifl", "watch", "runs/quickstart")
    assert again.end() == INTERRUPTED
    assert re.search(r"round \d+/1,000,000, stopped", again.shown)


def test_quiet_is_the_result_alone_and_verbose_has_lines_and_the_display(tmp_path: Path) -> None:
    quiet = Terminal(tmp_path, *STARTS["1 rank"], "--quiet", "quickstart", "rounds=2")
    verbose = Terminal(tmp_path, *STARTS["1 rank"], "-v", "quickstart", "rounds=2", "--out", "more")
    assert quiet.end() == 0, quiet.text
    scores, results = [line for line in quiet.text.splitlines() if not line.startswith("mpifl:")]
    assert scores.endswith(" after 2 rounds")
    assert results.startswith("results in runs/quickstart (model_sha256 ")
    assert "\x1b" not in quiet.text

    log = (tmp_path / "runs" / "quickstart" / "log.txt").read_text().partition("round 2/2, ")[2]
    closing = [line.partition(" INFO ")[2] for line in log.splitlines()[1:]]
    assert max(map(len, closing)) <= 80

    assert verbose.end() == 0, verbose.text
    assert "mpirun" in verbose.shown.splitlines()[0]
    assert [line[:9] for line in verbose.shown.splitlines() if line.startswith("round ")] == [
        "round 1/2",
        "round 2/2",
    ]
    assert HIDE_CURSOR in verbose.text
    assert not verbose.screen.cursor.hidden


def shown_round(terminal: Terminal) -> int:
    """The round that a display shows."""
    found = re.search(r"round ([\d,]+)/1,000,000", terminal.shown)
    return int(found[1].replace(",", "")) if found else 0


def last_round(run: Path) -> int:
    """The last round that is in log.txt."""
    return int(re.findall(r"round (\d+)/", (run / "log.txt").read_text())[-1])


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
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGALRM)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_what_came_before_a_rank_knew_its_number_is_said_once_it_knows(
    number: signal.Signals, alone: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    stop = Stop()
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop()
    assert capfd.readouterr().err == ""
    stop.speak(alone)
    stop.speak(alone)
    said = capfd.readouterr().err
    if number == signal.SIGTERM and not alone:  # mpirun may kill this process next
        assert said == ""
        assert signal.getitimer(signal.ITIMER_REAL)[0] > KILLED_SECONDS / 2
        limit = time.monotonic() + 60
        while not said and time.monotonic() < limit:
            said = capfd.readouterr().err
    assert said == f"mpifl: {STOPPING}\n"


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = Stop()
    os.kill(os.getpid(), signal.SIGINT)
    assert not stop()


def test_a_file_that_is_there_is_replaced_only_when_the_user_says_so(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text("client,size\na,1\n")
    out = tmp_path / "x.h5"
    out.write_text("precious")
    line = (sys.executable, "-m", "mpifl", "data", "import", "sizes", "sizes.csv", "-o", "x.h5")

    no = Terminal(tmp_path, *line)
    no.until("x.h5 exists already. Replace it? [y/N]: ")
    no.press(b"\n")
    assert no.end() == 2
    assert no.last_line() == "mpifl: x.h5: kept; name another file"
    assert out.read_text() == "precious"

    yes = Terminal(tmp_path, *line)
    yes.until("Replace it? [y/N]: ")
    yes.press(b"y\n")
    assert yes.end() == 0, yes.text
    assert out.read_bytes() != b"precious"
