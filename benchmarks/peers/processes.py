"""Running another program to its end, with everything that it starts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def finished(
    line: Sequence[str], folder: Path, environment: Mapping[str, str], limit: float
) -> tuple[int | None, str]:
    """Run a command in ``folder`` for ``limit`` seconds at most: its exit status, None if it was ended, and all that it said.

    What it has started and left behind is ended too, daemons that left its session also (Ray's): they would take part in the
    next measurement. They become children of this process for that (Linux).
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = _children(os.getpid())
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        running = subprocess.Popen(
            line, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            status: int | None = running.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(running, before)
        said.seek(0)
        return status, said.read()


def _end(running: subprocess.Popen[bytes], before: set[int]) -> None:
    """End the command and its descendants, who are this process's own children as soon as their parents are gone."""
    if running.poll() is None:
        _kill(running.pid)
        running.wait()
    while left := _children(os.getpid()) - before:
        for pid in left:
            _kill(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found
