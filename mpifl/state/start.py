"""How a run starts on all ranks: rank 0 reads and checks the job, and sends it to the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mpifl.errors import DONE, WRONG_INPUT, InputError, TrainingError
from mpifl.io.remembered import forget
from mpifl.mpi.recovery import attempts
from mpifl.mpi.world import World
from mpifl.rounds.experiment.announcement import announced, announcement
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.protocol import aggregator_send_start, executor_receive_start
from mpifl.state.arguments import arguments
from mpifl.state.resume import RunStart, begin

LOG = logging.getLogger(__name__)


class Start(Protocol):
    """How a run starts on rank 0: in which directory, and whether there is nothing left to do."""

    @property
    def folder(self) -> Path: ...

    @property
    def complete(self) -> bool: ...


S = TypeVar("S", bound=Start)


def start_run(
    world: World, argv: list[str], description: str | None
) -> tuple[RunStart | None, TimingExperiment, Path]:
    """Return how the run starts (on rank 0), the experiment and the run directory.

    Ends every rank: with status 2 when the job is wrong, with 0 when there is nothing to do.
    ``argv`` is the command line, ``description`` what --help says of the program.
    """

    def make_start() -> tuple[RunStart, dict[str, Any]]:
        options = arguments(argv, description)
        if options.verify:
            forget()
        start = begin(options.job, options.overrides, options.out, options.resume)
        return start, announcement(start.experiment.job, start.data_path, start.folder)

    start, message = start_together(world, make_start)
    if start is not None:
        return start, start.experiment, start.folder
    return None, *announced(message)


def start_together(
    world: World, make_start: Callable[[], tuple[S, dict[str, Any]]]
) -> tuple[S | None, dict[str, Any]]:
    """Return how the run starts (on rank 0), and on every rank the message that rank 0 made of it.

    Ends every rank: with status 2 when an input is wrong, with 0 when there is nothing to do.

    Args:
        world: The ranks.
        make_start: Called on rank 0. Raises InputError for a wrong input, SystemExit after --help.
    """
    start: S | None = None
    message: dict[str, Any] = {}
    if world.aggregates:
        try:
            start, message = make_start()
        except InputError as error:
            # Before the others know: mpirun ends all ranks once one has failed.
            LOG.error(error)
            message = {"leave": WRONG_INPUT}
        except SystemExit:  # --help
            message = {"leave": DONE}
        if start and start.complete:
            folder = os.path.relpath(start.folder)
            LOG.info("%s: the run is complete, there is nothing to go on with", folder)
            message = {"leave": DONE}

    message = _share(world, message)
    if "leave" in message:
        world.leave(message["leave"])
    return start, message


def _share(world: World, message: dict[str, Any]) -> dict[str, Any]:
    """Return rank 0's message on every rank. Raises TrainingError when it is lost with rank 0."""
    for attempt in attempts(world):
        with attempt:
            if not world.aggregates:
                received = executor_receive_start(world)
            elif message:
                received = message
                aggregator_send_start(world, message)
            else:
                raise TrainingError("rank 0 was lost before it had read the job: start again")
            world.confirm()
    return received
