"""How the status of a run (record/status.py) looks: a drawing for a terminal, or a plain line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.filesize import decimal
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mpifl.errors import counted, printable
from mpifl.record.status import FINAL, Status
from mpifl.record.wording import ENDS, clock_text, energy_text, losses_text

NARROW = 64
"""Columns below which the bar has a line of its own."""

LABEL = 8
STYLES = {"ended": "green", "stopped": "yellow", "failed": "red"}


class StatusView:
    """A status as rich draws it.

    ``age`` is how many seconds ago it was taken, by which its wall clock has moved on; ``notice``
    is a line below.
    """

    def __init__(self, status: Status, age: float = 0.0, notice: str = "") -> None:
        self._status = status
        self._age = 0.0 if status.state in FINAL else age
        self._notice = notice

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as the terminal is now."""
        yield _head(self._status, self._age, options.max_width)
        yield _lines(self._status, self._age)
        if self._notice:
            yield Text(self._notice, style="yellow")


Row = tuple[str, Status | None, float, str]
"""Of a table of runs: the name of the run directory, the status, its age in seconds, a notice."""


class StatusTable:
    """A line for each of several runs; as many as the terminal has room for."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide and high as the terminal is now."""
        room = max(1, console.height - 2) if console.is_terminal else len(self._rows)
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(4):
            table.add_column(overflow="fold")
        for name, status, age, notice in self._rows[:room]:
            table.add_row(Text(printable(name), style="bold"), *_cells(status, age, notice))
        yield table

        left = len(self._rows) - room
        if left > 0:
            yield Text(f"and {counted(left, 'more run')}")


def _cells(status: Status | None, age: float, notice: str) -> list[Text]:
    """Return the round and state, the main score, and what is to be said of a run."""
    if status is None:
        return [Text(notice)]
    where = Text(f"round {_over(status):,}/{status.rounds:,}")
    where.append(_when(status, age), STYLES.get(status.state, ""))
    score = status.score
    scored = f"{printable(score.name)} {score.value:.4f}" if score else ""
    return [where, Text(scored), Text(notice, style="yellow")]


def _head(status: Status, age: float, width: int) -> RenderableType:
    """Return the name, the bar and the rounds: in one line where there is room."""
    name = Text(printable(status.name), style="bold", no_wrap=True, overflow="ellipsis")
    where = Text(f"round {_over(status):,}/{status.rounds:,}", no_wrap=True)
    where.append(_when(status, age), STYLES.get(status.state, ""))
    bar = ProgressBar(total=max(1, status.rounds), completed=status.round)

    row = Table.grid(expand=True, padding=(0, 2, 0, 0))
    if width < NARROW:
        row.add_column(ratio=1)
        row.add_row(bar)
        return Group(Text.assemble(name, "  ", where, no_wrap=True, overflow="ellipsis"), row)
    row.add_column(max_width=width // 3, no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    row.add_row(name, bar, where)
    return row


def _over(status: Status) -> int:
    """Return the last round that is over; of a run that was stopped it may wait for its test."""
    return status.stopped_after or status.round


def _when(status: Status, age: float) -> str:
    """Return what stands behind the rounds: the time left, while that is right, or the state."""
    if status.state != "running":
        return f", {_state(status)}"
    left = (status.seconds_left or 0.0) - age
    return f", {clock_text(left)} left" if left > 0 else ""


def _state(status: Status) -> str:
    """Return the state, and which key of the job has ended the run if one has."""
    early = status.state == "ended" and status.ended_by
    return f"ended by {status.ended_by}" if early else status.state


def _lines(status: Status, age: float) -> Table:
    """Return the numbers, a line a subject; the lines wrap where the terminal is narrow."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=LABEL, no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    subjects = {
        "score": _score(status),
        "clock": _clock(status),
        "round": _ended(status.last) if status.round else "",
        "in all": _ended(status.total) if status.round else "",
        "traffic": _traffic(status),
        "speed": _speed(status, age),
    }
    for subject, text in subjects.items():
        if text:
            table.add_row(subject, Text(text))
    return table


def _score(status: Status) -> str:
    score = status.score
    if score is None:
        return ""
    best = f"{score.name} {score.value:.4f} (best {score.best:.4f} in round {score.best_round:,})"
    loss = f", loss {status.loss:.4f}" if status.loss is not None and score.name != "loss" else ""
    return printable(best) + loss


def _clock(status: Status) -> str:
    online = ""
    if status.online_share is not None:
        online = f"; {status.online_share:.0%} of {counted(status.clients, 'client')} online"
    return f"virtual {clock_text(status.virtual_seconds)}{online}"


def _ended(counts: Mapping[str, int]) -> str:
    """Return such as "10 of 13 participants completed (3 cut)"."""
    known = {name: counts.get(name, 0) for name in ENDS}
    asked = counted(counts.get("asked", 0), "participant")
    others = losses_text(known)
    return f"{known['completed']:,} of {asked} completed" + (f" ({others})" if others else "")


def _traffic(status: Status) -> str:
    if not status.round:
        return ""
    return (
        f"{decimal(status.bytes_down)} down, {decimal(status.bytes_up)} up;"
        f" {energy_text(status.joules)}, of which wasted {energy_text(status.joules_wasted)}"
    )


def _speed(status: Status, age: float) -> str:
    """Return the rate of rounds, how busy executors are, and the wall time."""
    parts = []
    rate = status.rounds_per_second
    if rate:
        parts.append(f"{rate:.1f} rounds/s" if rate >= 1 else f"{clock_text(1 / rate)} a round")
    if status.executors_busy is not None:
        parts.append(f"executors busy {status.executors_busy:.0%}")
    parts.append(f"wall {clock_text(status.wall_seconds + age)}")
    parts.append(f"on {counted(status.ranks, 'rank')}")
    return ", ".join(parts)


def status_line(status: Status) -> str:
    """Return a status as one plain line."""
    parts = [f"round {_over(status)}/{status.rounds}", _state(status)]
    if status.round:
        parts.append(f"virtual {clock_text(status.virtual_seconds)}")
        if status.score is not None:
            parts.append(f"{printable(status.score.name)} {status.score.value:.4f}")
            if status.loss is not None and status.score.name != "loss":
                parts.append(f"loss {status.loss:.4f}")
        parts.append(_ended(status.last))
    if status.state == "running" and status.seconds_left is not None:
        parts.append(f"{clock_text(status.seconds_left)} left")
    return ", ".join(parts)
