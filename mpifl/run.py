"""The main program of every rank: ``mpirun -n N python -m mpifl.run JOB [section.key=value ...]``.

Options: ``--out DIR``, ``--resume DIR``. Rank 0 reads and checks the job and sends it to the
others; then it is the aggregator and they are executors. When rank 0 dies, the lowest rank left
takes over.
"""

from __future__ import annotations

from mpifl.cluster.process import STARTED, collect_garbage, prepare_process, stop_signal

if __name__ == "__main__":  # before numpy, torch and CUDA are loaded
    prepare_process()

import sys
from pathlib import Path
from typing import NoReturn

from mpifl.cluster.rank_report import Report, rank_report
from mpifl.cluster.signals import Stop
from mpifl.errors import DONE
from mpifl.io.log import log_to_file, log_to_terminal
from mpifl.kernels.notice import say_when_compiling
from mpifl.mpi.recovery import Attempt, attempts
from mpifl.mpi.world import World, connect
from mpifl.record.run_folders import CHECKPOINTS, JOB
from mpifl.rounds import protocol
from mpifl.rounds.clients.client_state import client_store
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.state.aggregate import run_as_aggregator
from mpifl.state.ending import ends_together
from mpifl.state.resume import ACTORS, take_over
from mpifl.state.start import start_run


def main() -> NoReturn:
    """Run as one rank of a job; ends with the exit status."""
    world = connect(STARTED)
    log_to_terminal()
    run(world, stop_signal(), sys.argv[1:])
    world.leave(DONE)


def run(world: World, stop: Stop, argv: list[str]) -> None:
    """Run a job as one rank; return when all ranks have done it, else end with the exit status.

    Args:
        world: The ranks.
        stop: Whether a signal has asked the run to end.
        argv: The command line, as ``main`` takes it.
    """
    with ends_together(world, stop):
        _run(world, stop, argv)


def _run(world: World, stop: Stop, argv: list[str]) -> None:
    """Start or resume a run and take part in it to its end."""
    if world.aggregates:
        stop.speak(world.size == 1)
        say_when_compiling()
    start, experiment, folder = start_run(world, argv, __doc__)
    collect_garbage()
    reports = _reports(world, experiment, folder)

    for attempt in attempts(world):
        if world.aggregates:
            break
        with attempt:
            _run_as_executor(world, experiment, folder)

    if world.aggregates:
        stop.speak(world.size == 1)
        start = start or take_over(folder)
        log_to_file(folder)
        run_as_aggregator(world, start, reports, stop)


def _reports(world: World, experiment: TimingExperiment, folder: Path) -> list[Report]:
    """Return on rank 0 the reports of all ranks; elsewhere, and after a loss, this rank's own."""
    report = rank_report(experiment, folder / JOB)
    reports = [report]
    with Attempt(world):
        if world.aggregates:
            reports = protocol.aggregator_receive_reports(world, report)
        else:
            protocol.executor_send_report(world, report)
    return reports


def _run_as_executor(world: World, experiment: TimingExperiment, folder: Path) -> None:
    """Take part as an executor. Raises RankLost."""
    if isinstance(experiment, Experiment) and experiment.job.protocol.has_actors:
        from mpifl.messages.executor import run_actors  # it imports torch, as the next

        run_actors(world, experiment, folder / CHECKPOINTS / ACTORS)
    elif isinstance(experiment, Experiment):
        from mpifl.rounds.executor import run_executor

        store = client_store(folder / CHECKPOINTS, experiment.kept_shapes)
        run_executor(world, experiment, store)
    protocol.executor_send_time_spent(world)
    world.confirm()


if __name__ == "__main__":
    main()
