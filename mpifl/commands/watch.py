"""``mpifl watch``: how far a run is, or several, seen from another terminal or host.

By what is in the run directory alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mpifl.commands.exits import wrong_input_ends
from mpifl.commands.output import draws, standard_output
from mpifl.errors import DONE, FAILED, INTERRUPTED, InputError
from mpifl.io.files import is_file
from mpifl.record.run_folders import JOB, is_run, runs_in
from mpifl.record.status import FINAL, Status, read_status
from mpifl.record.wording import clock_text

if TYPE_CHECKING:
    from mpifl.commands.live import Drawing
    from mpifl.commands.status_view import Row

LOOK_SECONDS = 0.5
SILENT_SECONDS = 30.0
"""After so long without a new status it is said; a run writes one each 10 s, and a shared file
system may show it late."""

EXIT = {"ended": DONE, "stopped": INTERRUPTED, "failed": FAILED}
CTRL_C = 128 + signal.SIGINT


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR", help="A run directory, or a folder of some.", show_default=False
        ),
    ],
) -> None:
    """Show how far a run is, from another terminal or a login node, until it ends.

    Only reads what is in the run directory; Ctrl-C leaves the run alone.

    Not on a terminal: a line whenever rounds have ended.

    Exit status: 0, the run has ended; 75, it was stopped with a checkpoint; 1, it has failed.

    Of a folder of runs: a line for each, until Ctrl-C; just once when none is under way.
    """
    with wrong_input_ends():
        several = not is_run(folder)
        if several and not runs_in(folder):
            raise InputError(
                f"{folder}: not a run directory: it has no {JOB}, and no folder in it has one"
            )
    try:
        if several:
            _draw_several(folder)
            sys.exit(DONE)
        watched = Watched(folder)
        status = _draw(watched) if draws() else _print(watched)
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    sys.exit(EXIT[status.state])


@dataclass
class Watched:
    """A run directory that is looked at again and again.

    Attributes:
        folder: The run directory.
        status: What was read last; None before there is any.
        age: Seconds since that was new: by this host's clocks alone, but for the first.
    """

    folder: Path
    status: Status | None = None
    age: float = 0.0
    _since: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Read the status again."""
        found = read_status(self.folder)
        now = time.monotonic()
        if found is not None and found != self.status:
            late = max(0.0, time.time() - found.written) if self.status is None else 0.0
            self._since = now - late
            self.status = found
        self.age = now - self._since

        if self.status and self.status.state not in FINAL and is_file(self.folder / "summary.json"):
            # Written last: the status of its end could not be, or is not to be seen yet.
            self.status = replace(self.status, state="ended")

    @property
    def over(self) -> Status | None:
        """The status, if it is the last."""
        return self.status if self.status and self.status.state in FINAL else None

    @property
    def notice(self) -> str:
        """What is to be said of a run from which nothing has come for long; "" if all is well."""
        status = self.status
        if self.over is not None or (status and self._lives() and self.age < SILENT_SECONDS):
            return ""
        silent = clock_text(self.age)
        if status is None:
            return f"no status yet ({silent})"
        if not self._lives():
            return (
                f"there is no process {status.pid} on this host any more: the run seems to have"
                f" been killed; nothing new for {silent}"
            )
        return f"nothing new for {silent}: the run, its host or the file system may hang"

    def _lives(self) -> bool:
        """Return False when rank 0 would be a process of this host, and is not."""
        status = self.status
        if status is None or status.host != socket.gethostname():
            return True
        try:
            os.kill(status.pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            return True  # another user's
        return True


def _looks(watched: Watched) -> Iterator[None]:
    """Look, and look again, until the run is over."""
    watched.look()
    yield
    while not watched.over:
        time.sleep(LOOK_SECONDS)
        watched.look()
        yield


def _print(watched: Watched) -> Status:
    """Print a line whenever the round, the state or the notice changes; return the last status."""
    from mpifl.commands.status_view import status_line

    told: tuple[object, ...] = ()
    noticed = False
    for _ in _looks(watched):
        status = watched.status
        known = (status.round, status.state) if status else ()
        if status and known != told:
            print(status_line(status), flush=True)
        told = known

        # A run that has just been started has no status yet, and is well.
        notice = watched.notice if status or watched.age >= SILENT_SECONDS else ""
        if notice and not noticed:
            print(f"mpifl: {notice}", file=sys.stderr, flush=True)
        noticed = bool(notice)
    assert watched.over is not None
    return watched.over


def _draw(watched: Watched) -> Status:
    """Draw the status on the terminal until the run is over; return the last one."""
    from rich.text import Text

    from mpifl.commands.status_view import StatusView

    with _drawing() as drawing:
        for _ in _looks(watched):
            if watched.status is None:
                drawing.show(Text(watched.notice))
            else:
                drawing.show(StatusView(watched.status, watched.age, watched.notice))
    assert watched.over is not None
    return watched.over


def _draw_several(folder: Path) -> None:
    """Draw a table of the runs in a folder, again and again while any is under way at first."""
    from mpifl.commands.status_view import StatusTable

    runs: dict[Path, Watched] = {}
    if not _look_at_all(folder, runs) or not draws():
        standard_output().print(StatusTable(_rows(runs)))
        return

    with _drawing() as drawing:
        while True:
            drawing.show(StatusTable(_rows(runs)))
            time.sleep(LOOK_SECONDS)
            _look_at_all(folder, runs)


def _look_at_all(folder: Path, runs: dict[Path, Watched]) -> bool:
    """Look at every run in a folder that is not over; return whether there is such a run."""
    for path in runs_in(folder):
        watched = runs.setdefault(path, Watched(path))
        if not watched.over:
            watched.look()
    return not all(watched.over for watched in runs.values())


def _rows(runs: Mapping[Path, Watched]) -> list[Row]:
    """Return the rows of a table: those of runs under way first."""
    rows = [(path.name, found.status, found.age, found.notice) for path, found in runs.items()]
    return sorted(rows, key=lambda row: row[1] is not None and row[1].state in FINAL)


@contextlib.contextmanager
def _drawing() -> Iterator[Drawing]:
    """Draw on the terminal in the block; whatever ends or stops it, the cursor is visible then."""
    from mpifl.commands.live import Drawing

    drawing = Drawing()

    def stop(*_: object) -> None:
        with drawing.held():
            os.kill(os.getpid(), signal.SIGSTOP)

    signal.signal(signal.SIGTSTP, stop)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        yield drawing
    finally:
        drawing.leave()


def _leave(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
