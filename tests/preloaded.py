"""Python with its libraries loaded: a server that has imported them forks where a test starts a process.

``python -I -S preloaded.py FOLDER -m MODULE ARGUMENT...`` (or ``FILE.py ARGUMENT...``) is to who starts it what ``python -m
MODULE ARGUMENT...`` is. It has a server of FOLDER make a process with its arguments, environment, working directory and open
files; it passes signals on to that process, ends as that ends, and when it is killed, so is that. As long as the process lives
FOLDER has a file with its number, named by that of the process that stands for it. The process is no child of who starts it, and
libraries have read the server's environment: what is about that starts ``sys.executable`` itself.

FOLDER has two servers, because the processes of one have the same hash seed: what depends on the order of a set would not show.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import types
from types import FrameType
from typing import Any

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
SERVERS = 2
PYTHON = "python"
"""The file of FOLDER that is started as Python is, with the same arguments, for what starts ``sys.executable``."""

OWN = (
    "mpifl.rounds.experiment.build_experiment",
    "mpifl.record.run_record",
    "mpifl.state.checkpoint",
    "mpifl.training.loop",
    "mpifl.training.stacked",
    "mpifl.algorithms.fedavg",
    "mpifl.aggregation.mean",
    "mpifl.clock.policies.sync",
    "mpifl.models.mlp",
    "mpifl.objectives.classification",
    "mpifl.optimizers.sgd",
    "mpifl.selection.uniform",
)
"""Modules of mpifl that are loaded too, with those that they import: none that reads the environment or starts MPI."""

HIGH = 500
"""File descriptors from here on are none that a process is started with."""


def ask(folder: str, arguments: list[str]) -> int:
    """Stand for a process that a server makes; return its exit status, or end by the signal that has ended it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    listed = [int(name) for name in os.listdir("/proc/self/fd")]
    files = [number for number in listed if os.path.exists(f"/proc/self/fd/{number}")]
    wanted = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "files": files,
        "ignored": [number for number in PASSED_ON if signal.getsignal(number) is signal.SIG_IGN],
    }
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{folder}/{os.urandom(1)[0] % SERVERS}")
    socket.send_fds(server, [b"\n"], files)
    server.sendall(json.dumps(wanted).encode() + b"\n")
    said = server.makefile()
    process = int(said.readline())

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(process, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    # A signal that comes just before the wait for the status would be seen at its end only.
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = int(said.readline())
    signal.setitimer(signal.ITIMER_REAL, 0)
    if status < 0:
        if -status in PASSED_ON:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def serve(path: str) -> tuple[dict[str, Any], list[int]]:
    """Make processes until standard input ends; return, in each of them, what is wanted of it and its open files."""
    import selectors

    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as events:
        listener.bind(path)
        listener.listen(100)
        events.register(sys.stdin, selectors.EVENT_READ)
        events.register(listener, selectors.EVENT_READ)
        print(flush=True)  # from here on it can be asked
        while True:
            key, _ = events.select()[0]
            if key.fileobj is sys.stdin:
                os.unlink(path)
                folder = os.path.dirname(path)
                with contextlib.suppress(OSError):  # the other server has been quicker
                    os.unlink(f"{folder}/{PYTHON}")
                with contextlib.suppress(OSError):  # the other server is there
                    os.rmdir(folder)
                os._exit(0)
            if key.data is not None:
                process, ending, client, name = key.data
                if key.fileobj is client:  # who asked has been killed
                    os.kill(process, signal.SIGKILL)
                status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                events.unregister(ending)
                events.unregister(client)
                os.close(ending)
                with client, contextlib.suppress(OSError):
                    client.sendall(b"%d\n" % status)
                os.unlink(name)
                continue
            client, _ = listener.accept()
            files = socket.recv_fds(client, 1, 250)[1]
            with client.makefile() as said:
                wanted = json.loads(said.readline())
            process = os.fork()
            if process == 0:
                client.close()
                return wanted, files
            for number in files:
                os.close(number)
            name = f"{os.path.dirname(path)}/{_asker(client)}"
            with open(name, "w") as file:
                file.write(f"{process}")
            client.sendall(b"%d\n" % process)
            ending = os.pidfd_open(process)
            for end in (ending, client):
                events.register(end, selectors.EVENT_READ, (process, ending, client, name))


def _asker(client: socket.socket) -> int:
    """The process at the other end of a connection."""
    credentials = struct.Struct("3i")
    asked = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    process: int = credentials.unpack(asked)[0]
    return process


def become(folder: str, wanted: dict[str, Any], files: list[int]) -> None:
    """Run what is wanted in this process; what it starts with ``sys.executable`` is made by the servers of ``folder``, too."""
    import fcntl
    import runpy

    import numpy as np

    kept = [fcntl.fcntl(number, fcntl.F_DUPFD, HIGH) for number in files]
    os.closerange(0, HIGH)  # what the server has opened
    for number, wanted_number in zip(kept, wanted["files"], strict=True):
        os.dup2(number, wanted_number)
        os.close(number)
    for number in wanted["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    np.random.seed()  # noqa: NPY002  (no two processes alike)

    sys.executable = f"{folder}/{PYTHON}"
    first, *sys.argv = wanted["arguments"]
    if first == "-c":
        code = sys.argv[0]
        sys.argv[0] = first
        sys.path[0] = ""
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif first == "-m":
        sys.path[0] = wanted["folder"]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv.insert(0, first)
        sys.path[0] = os.path.dirname(first)
        runpy.run_path(first, run_name="__main__")


def leave(status: int) -> None:
    """End this process as Python does, but for taking all that is loaded apart: that copies its pages, in 0.25 s.

    A process that has loaded MPI is left to Python: mpi4py's end of MPI is no exit function of Python.
    """
    import atexit
    import threading

    if "mpi4py.MPI" in sys.modules:
        return
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):  # Python says it, and ends with a status of its own
        return
    os._exit(status & 0xFF)


def load() -> None:
    """Import what every rank imports, with as many threads as a rank has."""
    import gc
    import importlib

    for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    sys.modules["colorama"] = None  # type: ignore[assignment]  # as mpifl.kernels does
    import numba

    del sys.modules["colorama"]
    numba.njit("int64(int64)")(lambda x: x)  # imports what it needs to compile
    import h5py  # noqa: F401
    import networkx  # noqa: F401  (the graphs of protocols)
    import pydantic  # noqa: F401
    import safetensors  # noqa: F401
    import scipy.special  # noqa: F401
    import torch._dynamo  # noqa: F401  (for vmap and the counter of FLOPs)
    import typer  # noqa: F401
    import yaml  # noqa: F401

    for name in OWN:
        importlib.import_module(name)
    assert "mpi4py.MPI" not in sys.modules  # which starts MPI

    gc.freeze()  # else collections, and the last one above all, copy the pages of all that is loaded


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        load()
        try:
            become(os.path.dirname(sys.argv[2]), *serve(sys.argv[2]))
            leave(0)
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                leave(end.code or 0)
            raise
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
