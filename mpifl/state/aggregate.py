"""Rank 0's run: the rounds, what is written down of them, and the end of all ranks together."""

from __future__ import annotations

import logging
import os
import shlex
import time
from contextlib import closing

import numpy as np

from mpifl.cluster.rank_report import Report, check_reports, check_resumed, rank_groups
from mpifl.cluster.signals import Stop
from mpifl.errors import Interrupted
from mpifl.job.plug_in import ENVIRONMENT
from mpifl.mpi.recovery import attempts
from mpifl.mpi.world import World, library
from mpifl.record.run_directory import write_environment
from mpifl.record.run_record import RunRecord, run_record
from mpifl.record.summary import where_time_went
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.client_state import client_store
from mpifl.rounds.experiment import Experiment, TimingExperiment
from mpifl.rounds.protocol import aggregator_receive_time_spent, aggregator_send_end
from mpifl.rounds.timing_only import run_timing
from mpifl.state.checkpoint import Checkpoints
from mpifl.state.resume import CHECKPOINTS, RunStart

LOG = logging.getLogger(__name__)


def run_as_aggregator(world: World, start: RunStart, reports: list[Report], stop: Stop) -> None:
    """Run the rounds that are left, and end all ranks together.

    Raises Interrupted when ``stop`` ended the run early: it is saved then.
    """
    experiment = start.experiment
    folder = os.path.relpath(start.folder)
    stop.again = shlex.join(["mpifl", "run", "-n", str(world.size), "--resume", folder])
    try:
        if start.complete:  # rank 0 was lost when all was written
            _end(world, experiment)
        else:
            _check_ranks(world, start, reports)
            _record(world, start, stop)
    except Interrupted:
        _end(world, experiment, sent=True)
        _leave_together(world, experiment)
        raise
    _leave_together(world, experiment)


def _check_ranks(world: World, start: RunStart, reports: list[Report]) -> None:
    """Compare the ranks, and write environment.json. Raises InputError for ranks that differ."""
    experiment = start.experiment
    plug_ins = experiment.job.plug_ins
    lines = check_reports(reports, experiment, world.recovers)
    same_processors = experiment.job.runtime.require_same_processors
    lines += check_resumed(reports, start.folder / ENVIRONMENT, same_processors)
    for line in lines:
        LOG.warning(line)
    groups = rank_groups(reports)
    write_environment(start.folder, library(), groups, start.content_sha256, plug_ins)

    if world.size > 1 and not world.recovers:  # after a loss nobody could say it
        option = f"--resume {os.path.relpath(start.folder)}"
        LOG.warning("with this MPI the loss of a rank ends the run; then go on with %s", option)


def _record(world: World, start: RunStart, stop: Stop) -> None:
    """Run the rounds that are left and write down what they give."""
    experiment = start.experiment
    job = experiment.job
    snapshot = start.snapshot
    done = snapshot.rounds_done
    folder = start.folder / CHECKPOINTS

    with (
        run_record(experiment, start.folder, snapshot.rows) as record,
        closing(
            Checkpoints(folder, job.checkpoint.every, job.checkpoint.keep, record.file, done)
        ) as checkpoints,
    ):
        callbacks = RunCallbacks(snapshot, record.ended_round, checkpoints, stop)
        model_sha256 = _rounds(world, start, callbacks, record)

    world.watch.begin("end")
    spent = _end(world, experiment, sent=True)

    seconds = time.monotonic() - world.watch.started
    record.finish(
        {
            "name": job.name,
            "seed": job.seed,
            "ranks": world.size + world.lost,
            "mpi": library(),
            "rounds": job.rounds,
            "wall_seconds": round(seconds, 3),
            "model_sha256": model_sha256,
            **where_time_went(seconds, world.watch, spent),
            "resumed_from": done or None,
            "ranks_lost": world.lost,
        }
    )


def _rounds(
    world: World, start: RunStart, callbacks: RunCallbacks, record: RunRecord
) -> str | None:
    """Run the rounds that are left; return the SHA-256 of the model, None where nothing is trained.

    Raises TrainingError when no participant was trained in the whole run, because all failed.
    """
    experiment = start.experiment
    world.watch.begin("server")
    if not isinstance(experiment, Experiment):
        run_timing(experiment, callbacks, world.watch)
        return None

    from mpifl.record.model_file import write_model  # it imports torch, as the next
    from mpifl.rounds.aggregator import run_aggregator
    from mpifl.rounds.server import make_server

    server = make_server(experiment, callbacks.snapshot)
    for attempt in attempts(world):
        _note_loss(world, record, server.rounds_done + 1)
        with attempt:
            store = client_store(start.folder / CHECKPOINTS, experiment.kept_shapes)
            run_aggregator(world, server, store, callbacks)

    record.check_trained()
    return write_model(start.folder, experiment.model, server.state["model"])


def _note_loss(world: World, record: RunRecord, round_number: int) -> None:
    """Record and log the ranks that were lost, if any."""
    if not world.lost:
        return
    record.file.lost(round_number, world.size, time.monotonic() - world.watch.started)
    left = "1 rank is" if world.size == 1 else f"{world.size} ranks are"
    LOG.warning("%d lost, %s left; going on with round %d", world.lost, left, round_number)


def _end(world: World, experiment: TimingExperiment, sent: bool = False) -> np.ndarray:
    """Send the executors the end, unless it was ``sent``; return where all ranks' time went."""
    for attempt in attempts(world):
        with attempt:
            if not sent and isinstance(experiment, Experiment):
                aggregator_send_end(world)
            sent = False  # executors that try again wait for it again
            return aggregator_receive_time_spent(world)
    raise AssertionError("attempts end with a success")


def _leave_together(world: World, experiment: TimingExperiment) -> None:
    """Return when every rank has come to the end; until then another can take rank 0's place."""
    for attempt in attempts(world):
        with attempt:
            world.confirm()
            return
        _end(world, experiment)
