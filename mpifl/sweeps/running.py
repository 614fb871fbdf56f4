"""Runs the runs of a sweep: several at a time, each by its own mpirun, and passes signals on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mpifl.cluster.child import ENDING, begin
from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors
from mpifl.sweeps.index import Index
from mpifl.sweeps.outcome import LOGS, Outcome, log_path, outcome

ATTEND = "mpifl.commands.attend"
"""The program between this one and mpirun, as under ``mpifl run``."""

TICK_SECONDS = 0.5


class Watcher(Protocol):
    """Who is told of runs as they begin and end."""

    def ended(self, outcome: Outcome) -> None:
        """Take note of a run that has ended."""

    def stopping(self) -> None:
        """Take note of the first signal that ends the sweep."""

    def tick(self, running: Sequence[str]) -> None:
        """Take note of the names of the runs under way, about twice a second."""


@dataclass(frozen=True)
class _Running:
    """A run under way: its number, its process, and the size of its log before it began."""

    number: int
    process: subprocess.Popen[bytes]
    begun_at: int


@dataclass(frozen=True)
class Launch:
    """How runs are started.

    Attributes:
        command: Returns the command that starts ranks, from the arguments of their program.
        parallel: The most runs at a time.
        environment: Variables that are set for them.
    """

    command: Callable[[Sequence[str]], list[str]]
    parallel: int
    environment: Mapping[str, str]


def ranks_of_each(ranks: int, parallel: int) -> int:
    """Return the ranks of a run when ``parallel`` runs share what one run would have ``ranks`` of.

    Of the ranks one aggregates, beside the executors.
    """
    return max(1, (ranks - 1) // parallel) + 1


def run_all(
    sweep: Path, index: Index, numbers: Sequence[int], launch: Launch, watcher: Watcher
) -> bool:
    """Run the runs of a sweep with these numbers; return whether a signal ended it early.

    The first signal ends each run after its round with a checkpoint, the second at once; no run
    is started after it. Raises InputError when a log cannot be written.
    """
    waiting = deque(numbers)
    running: list[_Running] = []
    asked = False

    with _blocked_signals() as ending:
        while running or (waiting and not asked):
            while waiting and not asked and len(running) < launch.parallel:
                running.append(_start(sweep, index, waiting.popleft(), launch))

            received = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTSTP, *ending}, TICK_SECONDS)
            if received is not None and received.si_signo in ending:
                if not asked:
                    watcher.stopping()
                asked = True
                _send(running, signal.SIGTERM)
            elif received is not None and received.si_signo == signal.SIGTSTP:
                _stop_with(running)

            for run in [run for run in running if run.process.poll() is not None]:
                running.remove(run)
                name = index.runs[run.number - 1].folder
                status = run.process.returncode
                status = status if status >= 0 else 128 - status
                watcher.ended(outcome(sweep, run.number, name, status, run.begun_at))
            watcher.tick([index.runs[run.number - 1].folder for run in running])
    return asked


@contextmanager
def _blocked_signals() -> Iterator[set[signal.Signals]]:
    """Block the signals that are waited for in the block; yield those that end the sweep.

    A signal that this process was started to ignore (``nohup``) stays ignored.
    """
    ending = {number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTSTP, *ending})
    try:
        yield ending
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(sweep: Path, index: Index, number: int, launch: Launch) -> _Running:
    """Start a run; what it prints is added to its log."""
    line = launch.command(index.arguments(number, sweep.resolve()))
    log = log_path(sweep, index.runs[number - 1].folder)
    try:
        with disk_full_errors(log):
            (sweep / LOGS).mkdir(exist_ok=True)
            with open(log, "ab") as output:
                begun_at = output.tell()
                output.write(f"{time.strftime('%FT%T%z')} {shlex.join(line)}\n".encode())
                output.flush()
                # A group of its own: Ctrl-C on the terminal reaches this process alone, which
                # passes it on once.
                process = subprocess.Popen(
                    [sys.executable, "-m", ATTEND, *line],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=index.directory,
                    env={**os.environ, **launch.environment},
                    process_group=0,
                    preexec_fn=begin,
                )
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error
    return _Running(number, process, begun_at)


def _send(running: Sequence[_Running], number: signal.Signals) -> None:
    for run in running:
        run.process.send_signal(number)


def _stop_with(running: Sequence[_Running]) -> None:
    """Stop this process (Ctrl-Z) and all runs, until the shell lets it go on."""
    _send(running, signal.SIGTSTP)
    os.kill(os.getpid(), signal.SIGSTOP)
    _send(running, signal.SIGCONT)
