"""What a person sees while a run goes on: a bar on a terminal, one plain line a round in a log."""

from __future__ import annotations

import os
import sys
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mpifl.record.summary import clock_text, score_text
from mpifl.record.tables import SCORES

VARIABLE = "MPIFL_PROGRESS"
"""``bar`` or ``lines``. ``mpifl run`` sets it, because under mpirun no rank can see whether a person is watching."""


class Display(Protocol):
    """Shows a run's rounds."""

    def show(self, row: np.ndarray) -> None:
        """A round has ended; row is its /rounds row, an array of one."""

    def say(self, line: str) -> None:
        """Show a line of its own."""

    def close(self) -> None:
        """The run has ended."""


def display(rounds: int) -> Display:
    """The display that suits where the output goes."""
    chosen = os.environ.get(VARIABLE)
    # Open MPI gives every rank a terminal for its output, but only a person's terminal is one for input too.
    watched = sys.stdout.isatty() and sys.stdin.isatty()
    return Bar(rounds) if chosen == "bar" or (chosen is None and watched) else Lines(rounds)


class Lines:
    """One plain line a round."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def show(self, row: np.ndarray) -> None:
        """See Display."""
        for line in notices(row):
            self.say(line)
        parts = [f"round {row['round'][0]}/{self._rounds}", f"virtual {clock_text(row['end_seconds'][0])}", *scores(row)]
        counts = f"{row['completed'][0]} of {row['asked'][0]} participants completed"
        kinds = (("dropped", "dropped out"), ("cut", "cut"), ("stale", "too late"), ("failed", "failed"))
        lost = ", ".join(f"{row[name][0]} {text}" for name, text in kinds if row[name][0])
        print(", ".join([*parts, counts + (f" ({lost})" if lost else "")]), flush=True)

    def say(self, line: str) -> None:
        """See Display."""
        print(line)

    def close(self) -> None:
        """See Display."""


class Bar:
    """A progress bar with round, virtual time, accuracy and participants."""

    def __init__(self, rounds: int) -> None:
        # Under mpirun the terminal is out of reach; whoever chose the bar says how wide it is (COLUMNS).
        console = Console(force_terminal=True)
        columns = (TextColumn("round {task.completed}/{task.total}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, TextColumn("{task.description}"), console=console)
        self._task = self._progress.add_task("", total=rounds)
        self._accuracy = ""
        self._progress.start()

    def show(self, row: np.ndarray) -> None:
        """See Display."""
        for line in notices(row):
            self.say(line)
        self._accuracy = next(iter(scores(row)), self._accuracy)
        done = f"{row['completed'][0]}/{row['asked'][0]} participants"
        parts = [f"virtual {clock_text(row['end_seconds'][0])}", self._accuracy, done]
        self._progress.update(self._task, advance=1, description="  ".join(part for part in parts if part))

    def say(self, line: str) -> None:
        """See Display."""
        self._progress.console.print(line, highlight=False)

    def close(self) -> None:
        """See Display."""
        self._progress.stop()


def notices(row: np.ndarray) -> list[str]:
    """What a round has out of the ordinary."""
    number, said = row["round"][0], []
    if row["waited_seconds"][0] > 0:
        waited = clock_text(row["waited_seconds"][0])
        said.append(f"round {number}: nobody was online; the clock moved on by {waited} to the next client that is")
    if not row["completed"][0]:
        said.append(f"round {number}: none of the {row['asked'][0]} participants finished; the model stays as it is")
    return said


def scores(row: np.ndarray) -> list[str]:
    """The task's score and the loss, where the model was tested."""
    tested = bool(np.isfinite(row["loss"][0]))
    return score_text({name: float(row[name][0]) for name in SCORES}).split(", ") if tested else []
