"""What comes to the process between a terminal and mpirun, what mpirun gets of it, and with what status it all ends.

A small program stands for mpirun: it says what signals come to it, and ends when it is told to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mpifl.errors import INTERRUPTED

ATTEND = """
import sys
from mpifl.commands import attend
attend.AT_ONCE_SECONDS = 0.1
sys.exit(attend.attend([sys.executable, "-c", *sys.argv[1:]]))
"""
LISTENS = """
import os, signal, sys
asked = 0
def come(number, frame):
    global asked
    asked += 1
    os.write(1, f"{signal.Signals(number).name}\\n".encode())  # print would not do within a print
    if asked == int(sys.argv[1]):
        sys.exit(int(sys.argv[2]))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, come)
print(os.getpid(), os.getpgrp(), os.getppid(), repr(sys.stdin.read()), flush=True)
while True:
    signal.pause()
"""
Attended = subprocess.Popen[str]


def attended(
    program: str, *arguments: object, ignored: tuple[signal.Signals, ...] = ()
) -> Attended:
    def begin() -> None:
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGUSR1,
        ):  # whatever the tests were started with
            signal.signal(number, signal.SIG_DFL)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    line = [sys.executable, "-c", ATTEND, program, *map(str, arguments)]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, preexec_fn=begin
    )


def said(run: Attended) -> str:
    assert run.stdout is not None
    return run.stdout.readline().rstrip("\n")


def ended(run: Attended) -> tuple[int, list[str]]:
    text, _ = run.communicate(timeout=300)
    return run.returncode, text.splitlines()


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGUSR1)", 128 + signal.SIGUSR1),
    ],
)
def test_the_status_is_the_programs_own(program: str, status: int) -> None:
    assert ended(attended(program))[0] == status


def test_it_has_a_process_group_of_its_own_and_no_standard_input() -> None:
    run = attended(LISTENS, 1, 75)
    pid, group, parent, heard = said(run).split()
    assert pid == group
    assert int(parent) == run.pid
    assert heard == "''"  # though the other end is open
    run.send_signal(signal.SIGINT)
    assert ended(run) == (75, ["SIGUSR1"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_whatever_ends_programs_is_passed_on_as_the_signal_that_every_mpirun_hands_on(
    number: signal.Signals,
) -> None:
    run = attended(LISTENS, 2, 75)
    said(run)
    for _ in range(2):
        run.send_signal(number)
        assert said(run) == "SIGUSR1"
    assert ended(run) == (75, [])


def test_one_that_does_not_end_at_the_second_is_ended() -> None:
    run = attended(LISTENS, 3, 1)
    said(run)
    for _ in range(2):
        run.send_signal(signal.SIGINT)
        assert said(run) == "SIGUSR1"
    status, last = ended(run)
    assert last == ["SIGTERM"]
    assert status == INTERRUPTED  # mpirun has ended with 1, as Open MPI's does then


def test_what_it_was_started_to_ignore_stays_ignored() -> None:
    """As of nohup, and of what a script starts with `&`."""
    run = attended(LISTENS, 1, 75, ignored=(signal.SIGHUP, signal.SIGINT))
    said(run)
    run.send_signal(signal.SIGHUP)
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGTERM)
    assert ended(run) == (75, ["SIGUSR1"])


def test_mpirun_does_not_outlive_it() -> None:
    run = attended(LISTENS, 1, 75)
    said(run)
    run.kill()
    assert ended(run) == (-signal.SIGKILL, ["SIGTERM"])


def test_a_stop_stops_both_until_both_go_on() -> None:
    run = attended(LISTENS, 1, 75)
    child = int(said(run).split()[0])
    run.send_signal(signal.SIGTSTP)
    for pid in (run.pid, child):
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT) if pid == run.pid else _until(child, "T")
    run.send_signal(signal.SIGCONT)
    _until(child, "S")
    run.send_signal(signal.SIGINT)
    assert ended(run) == (75, ["SIGUSR1"])


def _until(pid: int, state: str) -> None:
    while True:
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == state:
                return
