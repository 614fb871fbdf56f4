"""Rank 0's run of a Flower app: the ServerApp, and what is written down of it."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

from mpifl.cluster.signals import Stop
from mpifl.errors import InputError, Interrupted, RankTimeout, TrainingError, counted
from mpifl.flower import app
from mpifl.flower.begin import FlowerStart
from mpifl.flower.clients import Clients
from mpifl.flower.dispatch import Dispatcher
from mpifl.flower.final import watched, write_arrays
from mpifl.flower.flwr_api import (
    SUPERLINK_NODE_ID,
    Context,
    MessageProto,
    RecordDict,
    ServerApp,
    empty_run,
    identify,
    version,
)
from mpifl.flower.grid import EmulatedGrid, Leaving
from mpifl.flower.legacy import in_order
from mpifl.flower.nodes import Nodes
from mpifl.flower.record import MessageRecord, message_record, totals_of
from mpifl.flower.replies import ReplyLog
from mpifl.flower.seeding import seed_server
from mpifl.flower.sending import Sender
from mpifl.io.log import RESULT_LINE, log_to_file
from mpifl.mpi.parcels import end_parcels
from mpifl.mpi.recovery import attempts
from mpifl.mpi.world import World, library
from mpifl.record.run_directory import write_environment, write_summary
from mpifl.record.run_folders import CHECKPOINTS
from mpifl.record.wording import clock_text
from mpifl.seeds import Purpose, number

LOG = logging.getLogger(__name__)


def run_server(
    world: World, start: FlowerStart, clients: Clients | None, stop: Stop, hosts: Sequence[str]
) -> None:
    """Run the ServerApp, and end all ranks together.

    Raises Interrupted when ``stop`` ended the run early; replies so far are logged then.

    Args:
        world: The ranks.
        start: How the run begins.
        clients: The ClientApp, if it is loaded on this rank.
        stop: Whether a signal has asked the run to end.
        hosts: The hosts of all ranks, as far as they are known.
    """
    folder = os.path.relpath(start.folder)
    stop.again = shlex.join(["mpifl", "flower", "run", "-n", str(world.size), "--resume", folder])
    log_to_file(start.folder)
    if not start.complete:
        ranks = [{"hosts": [host]} for host in hosts]
        write_environment(start.folder, library(), ranks, start.content_sha256)

    loaded = {"clients": clients}

    def clients_here() -> Clients:
        """Return the ClientApp of this rank, loaded when it is first needed."""
        if loaded["clients"] is None:  # the executors were lost
            loaded["clients"] = Clients(start.settings)
        found = loaded["clients"]
        assert found is not None
        return found

    log = ReplyLog(start.folder / CHECKPOINTS, start.settings.log == "states")
    try:
        if not start.complete:
            resumed = len(log)
            with message_record(start.folder) as record:
                dispatcher = Dispatcher(world, clients_here, log, stop)
                now, final = _serve(start, dispatcher, record)
            _finish(world, start, record, log, resumed, now, final)
    except Interrupted:
        _leave_together(world)
        raise
    finally:
        log.close()
    _leave_together(world)


def _serve(
    start: FlowerStart, dispatcher: Dispatcher, record: MessageRecord
) -> tuple[float, dict[str, Any] | None]:
    """Run the ServerApp; return the virtual seconds and the final parameters, None for none."""
    settings = start.settings
    run_id = number(settings.seed, Purpose.SERVER, 1)
    identify(run_id, SUPERLINK_NODE_ID)
    sender = Sender(settings, Nodes(settings.seed, settings.supernodes), start.clock, dispatcher)
    grid = EmulatedGrid(empty_run(run_id), sender, record)
    context = Context(
        run_id=run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config=dict(settings.run_config),
    )

    with in_order(), watched() as final:
        seed_server(settings.seed)
        server = app.load(settings.app, "serverapp", settings.serverapp, ServerApp)
        seed_server(settings.seed)  # not what the import has left
        _called(lambda: server(grid, context), settings.app)
    return grid.now, final.of_state(context.state)


def _called(server: Callable[[], None], folder: str) -> None:
    """Call the ServerApp. Raises TrainingError for what it raises itself."""
    known = (InputError, Interrupted, RankTimeout, TrainingError)
    try:
        server()
    except Leaving as leaving:
        raise leaving.cause from leaving
    except known:
        raise
    except Exception as error:
        LOG.debug("the ServerApp has failed", exc_info=True)
        raise TrainingError(f"the ServerApp: {app.error_text(error, folder)}") from error


def _finish(
    world: World,
    start: FlowerStart,
    record: MessageRecord,
    log: ReplyLog,
    resumed: int,
    now: float,
    final: dict[str, Any] | None,
) -> None:
    """Write the final parameters and summary.json, and the closing lines."""
    hashed = "replies" if start.settings.log == "replies" else None
    digest = None
    if final is not None:
        hashed = "final parameters"
        digest = write_arrays(start.folder, final)
    elif hashed:
        digest = replies_sha256(log)
    seconds = time.monotonic() - world.watch.started
    summary = {
        "name": start.settings.name,
        "seed": start.settings.seed,
        "ranks": world.size + world.lost,
        "mpi": library(),
        "flwr": version(),
        "wall_seconds": round(seconds, 3),
        "model_sha256": digest,
        "hashed": hashed,
        "resumed_from": resumed or None,
        "ranks_lost": world.lost,
        "rounds": record.calls,
        "stopped_by": None,
        "virtual_seconds": now,
        "messages": record.messages,
        "seconds": {"other": round(seconds, 3)},
        "executor_seconds": {},
        **totals_of(record),
    }
    write_summary(start.folder, summary)
    LOG.info(
        "%s in %s; virtual time %s, wall time %s; %s completed, %s dropped, %s cut, %s failed",
        counted(record.messages, "message"),
        counted(record.calls, "call"),
        clock_text(now),
        clock_text(seconds),
        *(f"{int(summary[name]):,}" for name in ("completed", "dropped", "cut", "failed")),
        extra=RESULT_LINE,
    )
    shown = f" (model_sha256 {digest[:16]})" if digest else ""
    LOG.info("results in %s%s", os.path.relpath(start.folder), shown, extra=RESULT_LINE)


def replies_sha256(log: ReplyLog) -> str:
    """Return a hash over the contents of all replies, in the order of their messages."""
    digest = hashlib.sha256()
    for reply in log.replies():
        proto = MessageProto.FromString(reply)
        digest.update(proto.content.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _leave_together(world: World) -> None:
    """Return when every rank has come to the end; until then another can take rank 0's place."""
    for attempt in attempts(world):
        with attempt:
            end_parcels(world)
            world.confirm()
