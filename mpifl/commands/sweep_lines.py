"""What ``mpifl sweep`` prints: a line a run as it ends, and on a terminal what is under way."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mpifl.errors import counted
from mpifl.record.load import Run, lacking
from mpifl.sweeps.outcome import Outcome, State, last_line, log_path

STYLES = {State.DONE: "", State.STOPPED: "yellow", State.FAILED: "bold red"}
MOST_FAILED = 20
"""How many failed runs are named at the end."""


class _Console(Console):
    """Standard output; a reader that has gone (``| head``) does not end the sweep."""

    def on_broken_pipe(self) -> None:
        """Write to nothing from now on."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())


class SweepLines:
    """A sweep as a person sees it; used as a context manager while runs are under way.

    Attributes:
        outcomes: The runs that have ended, in that order.
    """

    def __init__(self, folder: Path, total: int, done: int) -> None:
        self.outcomes: list[Outcome] = []
        self._folder = folder
        self._total = total
        self._done_before = done
        self._console = _Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    @property
    def done(self) -> int:
        """The number of runs that are complete."""
        return self._done_before + len(self._of(State.DONE))

    @property
    def failed(self) -> list[Outcome]:
        """The runs that failed."""
        return self._of(State.FAILED)

    def begin(self, ranks: int, parallel: int) -> None:
        """Print what is going to be run."""
        words = [f"{counted(self._total, 'run')} in {self._folder}"]
        if self._done_before:
            words.append(f"{self._done_before} done before")
        words.append(f"{parallel} at a time" if parallel > 1 else "one after the other")
        words.append(f"{counted(ranks, 'rank')} each")
        self._console.print(", ".join(words))

    def __enter__(self) -> SweepLines:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def ended(self, outcome: Outcome) -> None:
        """Print the line of a run that has ended."""
        self.outcomes.append(outcome)
        count = f"{self._done_before + len(self.outcomes):>{len(str(self._total))}}/{self._total}"
        style = STYLES[outcome.state]
        line = Text.assemble(
            f"{count} ", (f"{outcome.state.value:7}", style), f" {outcome.name}: {outcome.text}"
        )
        self._console.print(line)

    def stopping(self) -> None:
        """Print what the first signal does."""
        self._console.print(
            "stopping every run after its round, with a checkpoint; once more to end at once"
        )

    def tick(self, running: Sequence[str]) -> None:
        """Show on a terminal the last line of each run under way."""
        if not self._console.is_terminal:
            return
        lines = [
            f"  {name}: {last_line(log_path(self._folder, name), beginning='round ') or 'starting'}"
            for name in running
        ]
        self._live.update(
            Text("\n".join(lines), no_wrap=True, overflow="ellipsis", style="dim"), refresh=True
        )

    def end(self) -> None:
        """Print how many runs are done, which failed, what runs lacked, and what to do next."""
        failed = self.failed
        left = self._total - self.done - len(failed)
        words = [f"{self.done} of {counted(self._total, 'run')} done"]
        if failed:
            words.append(f"{len(failed)} failed")
        if left:
            words.append(f"{left} not done")
        self._console.print(", ".join(words))

        for outcome in failed[:MOST_FAILED]:
            self._console.print(f"failed: {outcome.name}: {outcome.text}; see {outcome.log}")
        if len(failed) > MOST_FAILED:
            self._console.print(f"and {len(failed) - MOST_FAILED} more")
        for line in lacking(Run(self._folder / run.name) for run in self._of(State.DONE)):
            self._console.print(line)
        folder = shlex.quote(str(self._folder))
        if failed or left:
            self._console.print(f"to go on with those alone: mpifl sweep --resume {folder}")
        if self.done:
            self._console.print(f"to compare: mpifl compare {folder}")

    def _of(self, state: State) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.state is state]
