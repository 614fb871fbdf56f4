"""Many jobs in one MPI session, each through the code of ``python -m mpifl.run``: ``mpirun -n N python several.py LIST.json``.

LIST.json is a list of ``[folder, log, [argument, ...]]``: the job runs in ``folder``; arguments that begin with ``flower`` are
those of ``python -m mpifl.flower.run``. What its ranks print goes to files in
``log`` (``stdout-RANK``, ``stderr-RANK``), which gets an empty file ``done`` once the job has succeeded on all ranks.
A job that fails ends all ranks with its status, as it does alone; the jobs after it have not run then.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mpifl.cluster.process import prepare_process, stop_signal

if __name__ == "__main__":  # before numpy and torch are loaded, as in mpifl.run
    prepare_process()

from mpifl.errors import DONE
from mpifl.io.log import log_to_terminal
from mpifl.mpi.world import connect
from mpifl.run import run


@contextlib.contextmanager
def printing_to(folder: Path, rank: int) -> Iterator[None]:
    """Let this process print into files of ``folder``, by its file descriptors: libraries and signal handlers use those."""
    names = {sys.stdout: "stdout", sys.stderr: "stderr"}
    kept = {stream: os.dup(stream.fileno()) for stream in names}
    for stream, name in names.items():
        file = os.open(folder / f"{name}-{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, stream.fileno())
        os.close(file)
    try:
        yield
    finally:
        for stream, before in kept.items():
            stream.flush()
            os.dup2(before, stream.fileno())
            os.close(before)


def main() -> None:
    """Run all jobs of the list as one rank."""
    stop = stop_signal()
    for folder, log, arguments in json.loads(Path(sys.argv[1]).read_text()):
        world = connect(time.monotonic())
        os.chdir(folder)
        sys.path[0] = folder  # as with -m

        with printing_to(Path(log), world.rank):
            log_to_terminal()
            if arguments[0] == "flower":
                from mpifl.flower.run import run as run_flower

                run_flower(world, stop, arguments[1:])
            else:
                run(world, stop, arguments)
        if world.aggregates:
            (Path(log) / "done").touch()

    world.leave(DONE)


if __name__ == "__main__":
    main()
