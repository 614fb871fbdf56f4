"""What a rank's process needs before numpy and torch are loaded: signals, threads, its own GPU."""

from __future__ import annotations

import functools
import gc
import os
import sys
import time

from mpifl.cluster.signals import Stop
from mpifl.errors import WRONG_INPUT, InputError
from mpifl.io.files import compiled_path
from mpifl.mpi.placement import VISIBLE, own_gpu

STARTED = time.monotonic()
"""When this process began to load mpifl, as time.monotonic has it."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@functools.cache
def stop_signal() -> Stop:
    """Return this process's Stop; the first call begins to handle signals."""
    return Stop()


def prepare_process() -> None:
    """Handle signals, and set the environment that libraries read when they are loaded.

    A signal that comes while torch and MPI are loaded would kill the rank. A rank is one core's
    worth unless the job says otherwise (``training.threads``), and sees the one GPU of its node
    that is its own. Ends with status 2 where kernels cannot be compiled to: they are when imported.

    Python's garbage collector is off until ``collect_garbage``.
    """
    stop_signal()
    gc.disable()

    for variable in THREADS:
        os.environ.setdefault(variable, "1")

    gpu = own_gpu(os.environ)
    if gpu is not None:
        os.environ[VISIBLE] = gpu

    try:
        compiled_path()
    except InputError as error:
        print(error.within("mpifl"), file=sys.stderr)
        sys.exit(WRONG_INPUT)


def collect_garbage() -> None:
    """Let Python's garbage collector begin, with what is made from now on.

    What torch, Numba and pydantic make while they are loaded stays to the end. To look through it
    again and again takes an eighth of a rank's start, and time in every round.
    """
    gc.freeze()
    gc.enable()
