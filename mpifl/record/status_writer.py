"""Writes the status of a run (status.py) while it goes on, from a thread of rank 0.

The rounds only hand over their numbers. What is slow, such as a file system that hangs, holds the
thread up and not the run. A status that cannot be written is left out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mpifl.errors import Interrupted
from mpifl.io.log import Output
from mpifl.record.progress import ends
from mpifl.record.status import MARK, STATUS, Score, State, Status
from mpifl.record.summary import Totals, main_score
from mpifl.record.wording import ENDS
from mpifl.rounds.experiment.experiment import TimingExperiment

WRITE_SECONDS = 0.5
ALIVE_SECONDS = 10.0
"""How often the status is written when no round ends, so that a reader sees that the run lives."""

WINDOW_SECONDS = 30.0
"""The time over which rates are taken."""

LAST_WORD_SECONDS = 5.0
"""How long the end of a run waits for the last status to be written."""


@dataclass(frozen=True)
class Source:
    """What the status of a run is made from, beside its rounds.

    Attributes:
        experiment: The job.
        folder: The run directory.
        ranks: Returns how many ranks there are now, rank 0 included. It may call MPI, and is never
            called from the thread.
        worked: Returns the seconds that an executor has worked so far, in the mean; None where
            nothing is trained.
        began: When the run began (time.monotonic).
    """

    experiment: TimingExperiment
    folder: Path
    ranks: Callable[[], int]
    worked: Callable[[], float] | None
    began: float


@dataclass(frozen=True)
class _Told:
    """What the rounds hand over: a /rounds row and the totals with it.

    ``ranks`` there were. ``moment`` is when (time.monotonic), ``worked`` what executors had worked
    by then. ``old`` rows are of a part of the run before this one. ``ended_by`` is the key of the
    job that ends the run with that round, if one does.
    """

    row: np.ndarray
    totals: Totals
    ranks: int
    moment: float
    worked: float
    old: bool
    ended_by: str | None


class StatusWriter:
    """Writes status.json in a run directory, and lines to standard output if ``lines``."""

    def __init__(self, source: Source, lines: bool) -> None:
        self._source = source
        self._status = _first(source)
        self._path = source.folder / STATUS
        self._lines = lines
        self._told: _Told | None = None
        self._final: State | None = None
        self._seen: deque[tuple[float, int, float]] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)
        self._thread.start()

    def tell(
        self, row: np.ndarray, totals: Totals, old: bool = False, ended_by: str | None = None
    ) -> None:
        """Take the /rounds row of a round that has ended, and the totals with it.

        ``old``: it ended in a part of the run before this one. ``ended_by`` is the key of the job
        that ends the run with it, if one does.
        """
        worked = self._source.worked() if self._source.worked else 0.0
        ranks = self._source.ranks()
        now = time.monotonic()
        self._told = _Told(row, totals.copy(), ranks, now, worked, old, ended_by)

    def end(self, state: State, after: int | None = None) -> None:
        """Write the last status, with ``state``; return when it is written, or takes too long.

        ``after`` is the round after which a signal has stopped the run.
        """
        self._status = replace(self._status, stopped_after=after)
        self._final = state
        self._over.set()
        self._thread.join(LAST_WORD_SECONDS)

    def _run(self) -> None:
        """Write what is new until the end; in the thread."""
        told = self._told
        self._write(told)
        written = time.monotonic()

        over = False
        while not over:
            over = self._over.wait(WRITE_SECONDS)
            if over or self._told is not told or time.monotonic() - written >= ALIVE_SECONDS:
                told = self._told
                self._write(told)
                written = time.monotonic()

    def _write(self, told: _Told | None) -> None:
        """Write the status after the round that was told last."""
        status = self._status if told is None else self._after(told)
        wall_seconds = round(time.monotonic() - self._source.began, 3)
        status = replace(
            status,
            state=self._final or status.state,
            wall_seconds=wall_seconds,
            written=time.time(),
        )

        text = status.json()
        _replace_file(self._path, text)
        if self._lines:
            with contextlib.suppress(OSError):  # the reader has gone
                os.write(sys.stdout.fileno(), f"{MARK}{text}\n".encode())

    def _after(self, told: _Told) -> Status:
        """Return the status after a round."""
        status = self._status
        row = told.row
        totals = told.totals
        counts = totals.counts
        number = int(row["round"][0])
        rate, busy = (None, None) if told.old else self._rates(told, number)
        online = float(row["online"][0])
        return replace(
            status,
            state="starting" if told.old else "running",
            ended_by=told.ended_by,
            ranks=told.ranks,
            round=number,
            score=_score(totals),
            loss=totals.final.get("loss"),
            virtual_seconds=totals.virtual_seconds,
            online_share=min(1.0, online / status.clients) if np.isfinite(online) else None,
            last={"asked": int(row["asked"][0]), **ends(row)},
            total={name: counts[name] for name in ("asked", *ends(row))},
            bytes_down=counts["bytes_down"],
            bytes_up=counts["bytes_up"],
            joules=totals.energy["joules"],
            joules_wasted=totals.energy["joules_wasted"],
            executors_busy=busy if self._source.worked else None,
            rounds_per_second=rate,
            seconds_left=self._seconds_left(told, number, rate),
        )

    def _seconds_left(self, told: _Told, number: int, rate: float | None) -> float | None:
        """Return how long the rounds that are left take at a rate, from now on."""
        if not rate:
            return None
        whole = (self._status.rounds - number) / rate
        return max(0.0, whole - (time.monotonic() - told.moment))

    def _rates(self, told: _Told, number: int) -> tuple[float | None, float | None]:
        """Return rounds a second of late, and the share of time in which executors worked.

        None for both after a single round.
        """
        seen = self._seen
        if not seen or seen[-1][1] != number:
            seen.append((told.moment, number, told.worked))
        while len(seen) > 2 and told.moment - seen[1][0] >= WINDOW_SECONDS:
            seen.popleft()

        begin, first, worked = seen[0]
        seconds = told.moment - begin
        if seconds <= 0:
            return None, None
        return (number - first) / seconds, min(1.0, (told.worked - worked) / seconds)


def _score(totals: Totals) -> Score | None:
    if not totals.final:
        return None
    name = main_score(totals.final)
    best, best_round = totals.best[name]
    return Score(name, totals.final[name], best, best_round)


def _replace_file(path: Path, text: str) -> None:
    """Write a whole file, or leave it as it is when that fails. It need not survive a crash."""
    partial = path.with_name(f".{path.name}.new")
    with contextlib.suppress(OSError):
        try:
            partial.write_text(text + "\n", encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def status_writer(source: Source) -> Iterator[StatusWriter]:
    """Tell of a run for the block; how the block ends is its last state."""
    writer = StatusWriter(source, Output.asked(os.environ).live)
    state: State = "failed"
    after: int | None = None
    try:
        yield writer
        state = "ended"
    except Interrupted as error:
        state = "stopped"
        after = error.after
        raise
    finally:
        writer.end(state, after)


def _first(source: Source) -> Status:
    """Return the status of a run before its first round."""
    job = source.experiment.job
    nobody = dict.fromkeys(("asked", *ENDS), 0)
    return Status(
        name=job.name,
        folder=str(source.folder.resolve()),
        state="starting",
        round=0,
        rounds=job.rounds,
        score=None,
        loss=None,
        virtual_seconds=0.0,
        clients=source.experiment.population.clients,
        online_share=None,
        last=nobody,
        total=nobody,
        bytes_down=0,
        bytes_up=0,
        joules=0.0,
        joules_wasted=0.0,
        executors_busy=None,
        rounds_per_second=None,
        seconds_left=None,
        wall_seconds=0.0,
        ranks=source.ranks(),
        host=socket.gethostname(),
        pid=os.getpid(),
        written=0.0,
    )
