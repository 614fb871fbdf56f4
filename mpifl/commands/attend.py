"""``python -m mpifl.commands.attend LINE...``: runs mpirun, and passes signals on to it.

It stays between a terminal, or Slurm's batch script, and mpirun. ``mpifl run`` becomes this
program, which imports nothing large.

mpirun runs in a process group of its own, so that Ctrl-C does not reach it: Open MPI's would kill
the ranks within a third of a second and drop their last output. Signals are passed on as SIGUSR1
instead, which every mpirun hands to its ranks, and which ends a run after its round with a
checkpoint.
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

AT_ONCE_SECONDS = 3.0
"""How long ranks have to end at once, before mpirun kills them."""

PR_SET_PDEATHSIG = 1


def attend(line: Sequence[str]) -> int:
    """Run a command that starts ranks until it ends; return the exit status.

    After a second signal the status is INTERRUPTED, whatever mpirun's is. A signal that this
    process was started to ignore (``nohup``, ``&`` in a script) stays ignored. A stop (Ctrl-Z)
    stops the ranks too.
    """
    ending = {number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    awaited = {signal.SIGCHLD, signal.SIGTSTP, *ending}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    mpirun = subprocess.Popen(line, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_begin)

    asked = 0
    while mpirun.poll() is None:
        received = signal.sigtimedwait(awaited, AT_ONCE_SECONDS)
        if received is None and asked > 1:
            mpirun.terminate()
        elif received is not None and received.si_signo in ending:
            asked += 1
            mpirun.send_signal(signal.SIGUSR1)
        elif received is not None and received.si_signo == signal.SIGTSTP:
            mpirun.send_signal(signal.SIGTSTP)
            os.kill(os.getpid(), signal.SIGSTOP)
            mpirun.send_signal(signal.SIGCONT)

    status = mpirun.returncode if mpirun.returncode >= 0 else 128 - mpirun.returncode
    return INTERRUPTED if asked > 1 and status else status


def _begin() -> None:
    """In the new process: unblock all signals, and ask for SIGTERM when this process dies."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(attend(sys.argv[1:]))
