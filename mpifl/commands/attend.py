"""The process that stays between a terminal, or Slurm's batch script, and mpirun: ``python -m mpifl.commands.attend LINE...``.

mpirun runs in a process group of its own, so that Ctrl-C does not come to it: Open MPI's would kill the ranks within a third of
a second and drop what they still say. What comes here instead is passed on as SIGUSR1, which every mpirun hands to its ranks,
and which ends a run after its round with a checkpoint. ``mpifl run`` becomes this program, which imports nothing large.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from mpifl.errors import INTERRUPTED

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""The first of these ends the run after its round, the second at once."""

AT_ONCE_SECONDS = 3.0  # what ranks are given to end at once, before mpirun has to kill them
PR_SET_PDEATHSIG = 1


def attend(line: Sequence[str]) -> int:
    """Run a command that starts ranks, to its end; returns the exit status.

    One that a second signal ended has INTERRUPTED, whatever mpirun makes of it. A signal that this process was started to
    ignore (``nohup``, ``&`` in a script) stays ignored. A stop (Ctrl-Z) stops the ranks too.
    """
    ending = {number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    awaited = {signal.SIGCHLD, signal.SIGTSTP, *ending}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    mpirun = subprocess.Popen(line, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_begin)
    asked = 0
    while mpirun.poll() is None:
        came = signal.sigtimedwait(awaited, AT_ONCE_SECONDS)
        if came is None and asked > 1:
            mpirun.terminate()
        elif came is not None and came.si_signo in ending:
            asked += 1
            mpirun.send_signal(signal.SIGUSR1)
        elif came is not None and came.si_signo == signal.SIGTSTP:
            mpirun.send_signal(signal.SIGTSTP)
            os.kill(os.getpid(), signal.SIGSTOP)
            mpirun.send_signal(signal.SIGCONT)
    status = mpirun.returncode if mpirun.returncode >= 0 else 128 - mpirun.returncode
    return INTERRUPTED if asked > 1 and status else status


def _begin() -> None:
    """In the new process: nothing is blocked there, and it does not outlive this one."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(attend(sys.argv[1:]))
