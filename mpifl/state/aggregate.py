"""Rank 0's run: the rounds, what is written down of them, and the end of all ranks together."""

from __future__ import annotations

import logging
import os
import shlex
import time
from contextlib import closing
from typing import Any

import numpy as np

from mpifl.cluster.rank_report import Report, check_reports, check_resumed, rank_groups
from mpifl.cluster.signals import Stop
from mpifl.errors import Interrupted, counted
from mpifl.job.environment import ENVIRONMENT
from mpifl.mpi.recovery import attempts
from mpifl.mpi.world import World, library
from mpifl.record.run_directory import write_environment
from mpifl.record.run_folders import CHECKPOINTS
from mpifl.record.run_record import RunRecord, run_record
from mpifl.record.status_writer import Source, StatusWriter, status_writer
from mpifl.record.summary import where_time_went
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.clients.client_state import client_store
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.rounds.protocol import aggregator_receive_time_spent, aggregator_send_end
from mpifl.rounds.timing_only import run_timing
from mpifl.state.checkpoint import Checkpoints
from mpifl.state.resume import ACTORS, RunStart

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
            with status_writer(_source(world, start)) as status:
                _record(world, start, stop, status)
    except Interrupted:
        _end(world, experiment, sent=True)
        _leave_together(world, experiment)
        raise
    _leave_together(world, experiment)


def _source(world: World, start: RunStart) -> Source:
    """Return what the status of the run is made from."""
    watch = world.watch
    trains = isinstance(start.experiment, Experiment)
    worked = watch.worked_seconds if trains else None
    return Source(start.experiment, start.folder, lambda: world.size, worked, watch.started)


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


def _record(world: World, start: RunStart, stop: Stop, status: StatusWriter) -> None:
    """Run the rounds that are left, write down what they give, and tell ``status`` of it."""
    experiment = start.experiment
    job = experiment.job
    snapshot = start.snapshot
    done = snapshot.rounds_done
    folder = start.folder / CHECKPOINTS

    with (
        run_record(experiment, start.folder, snapshot.rows, status) as record,
        closing(
            Checkpoints(folder, job.checkpoint.every, job.checkpoint.keep, record.file, done)
        ) as checkpoints,
    ):
        callbacks = RunCallbacks(snapshot, record.ended_round, checkpoints, stop, record.met)
        model = _rounds(world, start, callbacks, record)

    world.watch.begin("end")
    spent = _end(world, experiment, sent=True)

    seconds = time.monotonic() - world.watch.started
    record.finish(
        {
            "name": job.name,
            "seed": job.seed,
            **({"delta": getattr(job.privacy, "delta", None)} if job.privacy.private else {}),
            "ranks": world.size + world.lost,
            "mpi": library(),
            "wall_seconds": round(seconds, 3),
            **model,
            **where_time_went(seconds, world.watch, spent),
            "resumed_from": done or None,
            "ranks_lost": world.lost,
        }
    )


def _rounds(
    world: World, start: RunStart, callbacks: RunCallbacks, record: RunRecord
) -> dict[str, Any]:
    """Run the rounds that are left; return what summary.json has of the model.

    Its SHA-256, None where nothing is trained, and what its weights say (``Model.summary``).

    Raises TrainingError when no participant was trained in the whole run, because all failed.
    """
    experiment = start.experiment
    world.watch.begin("server")
    if not isinstance(experiment, Experiment):
        run_timing(experiment, callbacks, world.watch)
        return {"model_sha256": None}

    if experiment.job.protocol.has_actors:
        model = _protocol(world, start, experiment, callbacks, record)
        record.check_trained()
        return _write_model(start, experiment, model)

    from mpifl.rounds.aggregator import run_aggregator
    from mpifl.rounds.server.server import make_server

    server = make_server(experiment, callbacks.snapshot)
    for attempt in attempts(world):
        _note_loss(world, record, server.rounds_done + 1)
        with attempt:
            store = client_store(start.folder / CHECKPOINTS, experiment.kept_shapes)
            run_aggregator(world, server, store, callbacks)

    record.check_trained()
    return _write_model(start, experiment, server.state["model"])


def _write_model(start: RunStart, experiment: Experiment, weights: np.ndarray) -> dict[str, Any]:
    """Write the final model, also its adapters as PEFT has them; return its entries for summary.

    Without a SHA-256 for an algorithm without a model.
    """
    if not experiment.job.algorithm.trains:
        return {"model_sha256": None}
    from mpifl.models.adapted import write_adapter  # it imports torch, as the next
    from mpifl.record.model_file import write_model

    digest = write_model(start.folder, experiment.model, weights)
    entries = experiment.job.model.summary(experiment.model.module)
    job = experiment.job
    if job.model.lora is not None and not job.algorithm.merges_adapters:
        write_adapter(start.folder, experiment.model)
    return {"model_sha256": digest, **entries}


def _protocol(
    world: World,
    start: RunStart,
    experiment: Experiment,
    callbacks: RunCallbacks,
    record: RunRecord,
) -> np.ndarray:
    """Run a protocol of actors to its end; return the model of its last round."""
    from mpifl.messages.aggregator import run_protocol, start_protocol  # it imports torch

    run = start_protocol(world, experiment, callbacks, start.folder / CHECKPOINTS / ACTORS)
    for attempt in attempts(world):
        _note_loss(world, record, run.saved.rounds_done + 1)
        with attempt:
            run_protocol(run)
    return run.model


def _note_loss(world: World, record: RunRecord, round_number: int) -> None:
    """Record and log the ranks that were lost, if any."""
    if not world.lost:
        return
    record.file.lost(round_number, world.size, time.monotonic() - world.watch.started)
    left = f"{counted(world.size, 'rank')} {'is' if world.size == 1 else 'are'}"
    lost = counted(world.lost, "rank")
    LOG.warning("%s lost, %s left; going on with round %d", lost, left, round_number)


def _end(world: World, experiment: TimingExperiment, sent: bool = False) -> np.ndarray:
    """Send the executors the end, unless it was ``sent``; return where all ranks' time went."""
    for attempt in attempts(world):
        with attempt:
            if not sent and isinstance(experiment, Experiment):
                _send_end(world, experiment)
            sent = False  # executors that try again wait for it again
            return aggregator_receive_time_spent(world)
    raise AssertionError("attempts end with a success")


def _send_end(world: World, experiment: Experiment) -> None:
    """Send executors that wait for orders or assignments that there are no more."""
    if experiment.job.protocol.has_actors:
        from mpifl.messages.wire import END, aggregator_send_order  # it imports torch

        aggregator_send_order(world, END)
    else:
        aggregator_send_end(world)


def _leave_together(world: World, experiment: TimingExperiment) -> None:
    """Return when every rank has come to the end; until then another can take rank 0's place."""
    for attempt in attempts(world):
        with attempt:
            world.confirm()
            return
        _end(world, experiment)
