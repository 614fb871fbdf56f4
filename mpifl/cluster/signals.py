"""Signals that end a run: the first one after the round and a checkpoint, the second at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from mpifl.errors import INTERRUPTED

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STOPPING = "stopping after this round, with a checkpoint; once more to end at once"


class Stop:
    """Records whether a signal has come. Calling it returns that.

    Every rank has one, so that no rank ends before rank 0 has saved the run; only rank 0's decides.
    It is made before anything slow is imported, when no rank knows its number yet; ``speak`` makes
    rank 0's the one that prints. A signal that this process was started to ignore stays ignored.

    Attributes:
        again: The command that resumes the run; None while there is no run to resume.
    """

    def __init__(self) -> None:
        self.again: str | None = None
        self._asked = False
        self._speaks = False
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._come)

    def __call__(self) -> bool:
        """Return whether the run is to end."""
        return self._asked

    def speak(self) -> None:
        """Print what signals do from now on, and what the first one did if it has come."""
        if self._asked and not self._speaks:
            _say(STOPPING)
        self._speaks = True

    def _come(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._asked:
            if self._speaks and self.again:
                _say(f"ended at once; to go on from the last checkpoint: {self.again}")
            os._exit(INTERRUPTED)

        self._asked = True
        if self._speaks:
            _say(STOPPING)


def _say(text: str) -> None:
    # Not through sys.stderr: a signal may come while that is writing.
    os.write(sys.stderr.fileno(), f"mpifl: {text}\n".encode())
