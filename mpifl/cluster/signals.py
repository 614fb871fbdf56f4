"""Being asked to end: the first signal ends a run after its round and a checkpoint, the second at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from mpifl.errors import INTERRUPTED

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STOPPING = "stopping after this round, with a checkpoint; once more to end at once"


class Stop:
    """Whether a signal has come. Every rank has one, so that none is ended before rank 0 has saved the run; rank 0's counts.

    It is made before anything slow is imported, when no rank knows its number: ``speak`` tells rank 0's that it is the one that
    says what happens. ``again`` is the command that goes on with the run, once there is one. A signal that this process was
    started to ignore stays ignored.
    """

    def __init__(self) -> None:
        self.again: str | None = None
        self._asked = self._speaks = False
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._come)

    def __call__(self) -> bool:
        """Whether the run is to end."""
        return self._asked

    def speak(self) -> None:
        """From now on say what happens, beginning with what has come before."""
        if self._asked and not self._speaks:
            _say(STOPPING)
        self._speaks = True

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            if self._speaks and self.again:
                _say(f"ended at once; to go on from the last checkpoint: {self.again}")
            os._exit(INTERRUPTED)
        self._asked = True
        if self._speaks:
            _say(STOPPING)


def _say(text: str) -> None:
    # Not through sys.stderr: a signal may come in the middle of what that is writing.
    os.write(sys.stderr.fileno(), f"mpifl: {text}\n".encode())
