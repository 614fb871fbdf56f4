"""Signals that end a run: the first one after the round and a checkpoint, the second at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from mpifl.errors import INTERRUPTED

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STOPPING = "stopping after this round, with a checkpoint; once more to end at once"

KILLED_SECONDS = 2.0
"""How long after SIGTERM ``STOPPING`` is printed.

mpirun ends all ranks by SIGTERM when one of them has failed, and kills them a moment later: within
0.3 s in Open MPI 5. No round ends then. mpirun passes on SIGUSR1, but not SIGTERM.
"""


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
        self._terminated = False
        self._alone = False
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._come)

    def __call__(self) -> bool:
        """Return whether the run is to end."""
        return self._asked

    def speak(self, alone: bool) -> None:
        """Print what signals do from now on, and what the first one did if it has come.

        ``alone`` says that there is no other rank, whose failure could end this one.
        """
        self._alone = alone
        if self._asked and not self._speaks:
            self._say_stopping()
        self._speaks = True

    def _say_stopping(self) -> None:
        """Print that the run stops: at once, or for SIGTERM if this process is not killed first."""
        if self._alone or not self._terminated:
            _say(STOPPING)
            return
        signal.signal(signal.SIGALRM, lambda *_: _say(STOPPING))
        signal.setitimer(signal.ITIMER_REAL, KILLED_SECONDS)

    def _come(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._asked:
            if self._speaks and self.again:
                _say(f"ended at once; to go on from the last checkpoint: {self.again}")
            os._exit(INTERRUPTED)

        self._asked = True
        self._terminated = number == signal.SIGTERM
        if self._speaks:
            self._say_stopping()


def _say(text: str) -> None:
    # Not through sys.stderr: a signal may come while that is writing.
    os.write(sys.stderr.fileno(), f"mpifl: {text}\n".encode())
