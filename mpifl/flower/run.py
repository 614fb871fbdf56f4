"""The main program of every rank of a Flower app.

``mpirun -n N python -m mpifl.flower.run APP_DIR --supernodes NODES``, with the options of ``mpifl
flower run`` (arguments.py).

Rank 0 checks everything and runs the ServerApp; the others run ClientApps. When rank 0 dies, the
lowest rank left takes over: it runs the ServerApp again, with the replies that are logged.
"""

from __future__ import annotations

from mpifl.cluster.process import STARTED, collect_garbage, prepare_process, stop_signal

if __name__ == "__main__":  # before numpy, torch and CUDA are loaded
    prepare_process()

import sys
from pathlib import Path
from typing import Any, NoReturn

from mpifl.cluster.signals import Stop
from mpifl.errors import DONE
from mpifl.flower.arguments import arguments
from mpifl.flower.begin import FlowerStart, begin, take_up
from mpifl.flower.settings import FlowerSettings, checked
from mpifl.io.log import log_to_terminal
from mpifl.kernels.notice import say_when_compiling
from mpifl.mpi.parcels import answer_parcels
from mpifl.mpi.recovery import Attempt, attempts
from mpifl.mpi.world import World, connect
from mpifl.state.ending import ends_together
from mpifl.state.start import start_together


def main() -> NoReturn:
    """Run as one rank of a Flower app; ends with the exit status."""
    world = connect(STARTED)
    log_to_terminal()
    run(world, stop_signal(), sys.argv[1:])
    world.leave(DONE)


def run(world: World, stop: Stop, argv: list[str]) -> None:
    """Run an app as one rank; return when all ranks have done it, else end with the exit status.

    Args:
        world: The ranks.
        stop: Whether a signal has asked the run to end.
        argv: The command line, as ``main`` takes it.
    """
    with ends_together(world, stop):
        _run(world, stop, argv)


def _run(world: World, stop: Stop, argv: list[str]) -> None:
    if world.aggregates:
        stop.speak(world.size == 1)
        say_when_compiling()
    start, settings, folder = _start(world, argv)
    collect_garbage()

    hosts: list[str] = []
    with Attempt(world):
        hosts = world.hosts()

    clients = None
    if world.executes:
        from mpifl.flower.clients import Clients

        clients = Clients(settings)

    for attempt in attempts(world):
        if world.aggregates:
            break
        with attempt:
            assert clients is not None
            answer_parcels(world, clients.answer)
            world.confirm()

    if world.aggregates:
        from mpifl.flower.serve import run_server

        stop.speak(world.size == 1)
        run_server(world, start or take_up(folder), clients, stop, hosts)


def _start(world: World, argv: list[str]) -> tuple[FlowerStart | None, FlowerSettings, Path]:
    """Return how the run starts (on rank 0), its settings and its directory.

    Ends every rank: with status 2 when an input is wrong, with 0 when there is nothing to do.
    """

    def make_start() -> tuple[FlowerStart, dict[str, Any]]:
        start = begin(**arguments(argv, __doc__))
        return start, {"settings": start.settings.model_dump(), "folder": str(start.folder)}

    start, message = start_together(world, make_start)
    return start, checked(message["settings"]), Path(message["folder"])


if __name__ == "__main__":
    main()
