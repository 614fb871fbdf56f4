"""Where a rank's wall time goes, phase by phase; and the memory that it took."""

from __future__ import annotations

import contextlib
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

EXECUTOR_PHASES = ("training", "evaluation", "idle", "broadcast", "reduce")
PHASES = ("start", "selection", "clock", "broadcast", "wait", "reduce", "server", "writing")
"""Of rank 0. ``wait`` is the time in which executors train and test; ``start`` is all before the first round."""

SPENT = np.dtype([("peak_bytes", "<i8"), *((phase, "<f8") for phase in EXECUTOR_PHASES)])
"""What a rank tells of itself at the end of a run; phases in seconds."""


class Stopwatch:
    """Time by phase. A phase within another stops that one's clock, so that every second counts once.

    What is done ``meanwhile`` is counted apart: it takes nobody's time. ``started`` is when the first phase began
    (time.monotonic).
    """

    def __init__(self, since: float | None = None) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.hidden: defaultdict[str, float] = defaultdict(float)
        self._counts, self._phase = self.seconds, "start"
        self.started = time.monotonic() if since is None else since
        self._since = self.started

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Count the block to a phase."""
        before = self._turn(phase)
        try:
            yield
        finally:
            self._turn(before)

    @contextlib.contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Count the phases of the block as hidden; its time goes to the phase that it is in."""
        self._turn(self._phase)
        outer, begun = self._phase, self._since
        self._counts = self.hidden
        try:
            yield
        finally:
            self._turn(outer)
            self._counts = self.seconds
            self.hidden.pop(outer, None)
            self.seconds[outer] += self._since - begun

    def begin(self, phase: str) -> None:
        """From now on all that belongs to no other phase counts to this one."""
        self._turn(phase)

    def _turn(self, phase: str) -> str:
        now, before = time.monotonic(), self._phase
        self._counts[before] += now - self._since
        self._phase, self._since = phase, now
        return before

    def spent(self) -> np.ndarray:
        """This rank's row (structured SPENT, an array of one)."""
        self._turn(self._phase)
        return np.array([(peak_bytes(), *(self.seconds[phase] for phase in EXECUTOR_PHASES))], SPENT)


UNWATCHED = Stopwatch()
"""For those who do not want to know."""


def peak_bytes() -> int:
    """The most memory that this process has had at a time, data that it maps and shares with others included."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # not Linux; there this one begins with what the process had that started it
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
