"""The main program of every rank: ``mpirun -n N python -m mpifl.run JOB [section.key=value ...] [--out DIR] [--resume DIR]``.

Rank 0 reads and checks the job and tells the others what it found; then it is the aggregator and they are executors.
"""

from __future__ import annotations

import os
import time

from mpifl.signals import Stop

START = time.monotonic()
# From the first moment: a signal that comes while torch and MPI are loaded would kill the rank.
_stop = Stop() if __name__ == "__main__" else None
# Before numpy and torch start their thread pools: a rank is one core's worth unless the job says otherwise.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from mpifl.mpi.placement import VISIBLE, own_gpu  # noqa: E402

# Before CUDA is asked for the first time: a rank sees the one GPU of its node that is its own.
_gpu = own_gpu(os.environ)
if _gpu is not None:
    os.environ[VISIBLE] = _gpu

import argparse  # noqa: E402
import json  # noqa: E402
import shlex  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NoReturn  # noqa: E402

import numpy as np  # noqa: E402

from mpifl.announcement import announced, announcement  # noqa: E402
from mpifl.batch import send  # noqa: E402
from mpifl.beginning import CHECKPOINTS, JOB, Beginning, begin, take_over  # noqa: E402
from mpifl.checkpoint import Checkpoints  # noqa: E402
from mpifl.client_state import ClientStore  # noqa: E402
from mpifl.compiling import say_when_compiling  # noqa: E402
from mpifl.errors import (  # noqa: E402
    DONE,
    FAILED,
    INTERRUPTED,
    WRONG_INPUT,
    InputError,
    Interrupted,
    RankLost,
    SilentRank,
    TrainingError,
    where,
)
from mpifl.experiment import Experiment, Timed  # noqa: E402
from mpifl.job.plug_in import ENVIRONMENT  # noqa: E402
from mpifl.logbook import Logbook  # noqa: E402
from mpifl.mpi.world import World, connect, library  # noqa: E402
from mpifl.rank_report import Report, check_reports, check_resumed, rank_groups, rank_report  # noqa: E402
from mpifl.record.progress import print_round  # noqa: E402
from mpifl.record.run_directory import RunFile, run_file, write_environment, write_summary  # noqa: E402
from mpifl.record.summary import Totals, closing_lines, where_time_went  # noqa: E402
from mpifl.record.too_few_online import TooFewOnline  # noqa: E402
from mpifl.result import RoundResult  # noqa: E402
from mpifl.timing import run_timing  # noqa: E402


class _Parser(argparse.ArgumentParser):
    """argparse would end rank 0 and leave the others waiting for it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"command line: {message}")


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line, the same for every rank."""
    parser = _Parser(prog="mpifl.run", description=__doc__)
    parser.add_argument("job", nargs="?", help="a job file, or the name of a job that ships with mpifl")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="changes to the job")
    parser.add_argument("--out", metavar="DIR", help="run directory to make; default: runs/NAME")
    parser.add_argument(
        "--resume", metavar="DIR", help="run directory to go on in; made when it is not there and a JOB is given"
    )
    return parser.parse_intermixed_args(argv)


def main() -> NoReturn:
    """Run as one rank of a job; ends with the exit status."""
    world, stop = connect(START), _stop or Stop()
    if world.aggregates:
        stop.speak()
        say_when_compiling()
    run(world, stop, sys.argv[1:])
    world.leave(DONE)


def run(world: World, stop: Stop, argv: list[str]) -> None:
    """Run a job as one rank; returns when all ranks have done it, and ends the process with its status otherwise."""
    try:
        beginning, experiment, folder = _begin(world, argv)
        _run(world, beginning, experiment, folder, stop)
    except Interrupted as error:
        print(f"mpifl: {error}; to go on: {stop.again}", file=sys.stderr, flush=True)
        world.leave(INTERRUPTED)
    except SilentRank as error:
        _tell(world, TrainingError(f"{error}; go on with --resume"))
        world.abort_silent()
    except InputError as error:
        # Found on this rank alone, or in the middle of the run: the others cannot know.
        _tell(world, error)
        world.abort(WRONG_INPUT)
    except TrainingError as error:
        _tell(world, error)
        world.abort(FAILED)
    except Exception as error:
        traceback.print_exc()
        _tell(world, error)
        world.abort(FAILED)


def _begin(world: World, argv: list[str]) -> tuple[Beginning | None, Timed, Path]:
    """How it begins (on rank 0), the experiment and the run directory.

    Ends every rank with status 2 when rank 0 finds that the job is wrong, and with 0 when there is nothing to do.
    """
    found: dict[str, Any] = {}
    beginning = None
    if world.aggregates:
        try:
            options = arguments(argv)
            beginning = begin(options.job, options.overrides, options.out, options.resume)
            found = announcement(beginning)
        except InputError as error:
            # Before the others know: mpirun ends every rank as soon as one has ended with another status than 0.
            print(error.within("mpifl"), file=sys.stderr, flush=True)
            found = {"wrong": ""}
        except SystemExit:  # --help
            found = {"told": ""}
        if beginning and beginning.complete:
            print(f"{os.path.relpath(beginning.folder)}: the run is complete, there is nothing to go on with", flush=True)
            found = {"told": ""}
    found = json.loads(_told(world, json.dumps(found) if found else None))
    if "told" in found:
        world.leave(DONE)
    if "wrong" in found:
        world.leave(WRONG_INPUT)
    if beginning is not None:
        return beginning, beginning.experiment, beginning.folder
    return None, *announced(found)


def _told(world: World, text: str | None) -> str:
    """Rank 0's text, on every rank that is left. Raises TrainingError when rank 0 is lost with it."""
    while True:
        if world.aggregates and text is None:
            raise TrainingError("rank 0 was lost before it had read the job: start again")
        try:
            heard = world.broadcast_text(text)
        except RankLost:
            world.recover()
            continue
        if world.all_here():
            return heard


def _run(world: World, beginning: Beginning | None, experiment: Timed, folder: Path, stop: Stop) -> None:
    """All rounds that are left. An executor becomes the aggregator when that is lost."""
    report = rank_report(experiment, folder / JOB)
    reports = [report]  # of those that it becomes the aggregator of, it does not know more
    try:
        reports = [json.loads(text) for text in world.gather_texts(json.dumps(report))] or reports
    except RankLost:
        world.recover()
    while not world.aggregates:
        if _execute(world, experiment, folder):
            return
    stop.speak()
    beginning = beginning or take_over(folder)
    try:
        if beginning.complete:  # rank 0 was lost when all was written
            _spent(world, experiment, told=False)
        else:
            _aggregate(world, beginning, reports, stop)
    except Interrupted:
        _spent(world, experiment)
        _part(world, experiment)
        raise
    _part(world, experiment)


def _execute(world: World, experiment: Timed, folder: Path) -> bool:
    """Ranks 1 to n - 1: whether it is over; if not, there are fewer ranks now."""
    try:
        if isinstance(experiment, Experiment):
            from mpifl.executor import run_executor  # here: it imports torch, which runs that only time do not need

            run_executor(world, experiment, ClientStore(folder / CHECKPOINTS / "clients", len(experiment.model.weights)))
        world.gather_rows(world.watch.spent())
        return world.all_here()
    except RankLost:
        world.recover()
        return False


def _part(world: World, experiment: Timed) -> None:
    """Rank 0, when everything is written: until every rank knows that it is over. Until then another can take its place."""
    while not world.all_here():
        _spent(world, experiment, told=False)


def _spent(world: World, experiment: Timed, told: bool = True) -> np.ndarray:
    """On rank 0, once the others were ``told`` that it is over: what each tells of itself (structured SPENT)."""
    while True:
        try:
            if not told and isinstance(experiment, Experiment):
                send(world, None, np.empty(0, np.int64), {})
            return world.gather_rows(world.watch.spent())
        except RankLost:
            world.recover()
            told = False


def _aggregate(world: World, beginning: Beginning, reports: list[Report], stop: Stop) -> None:
    """Rank 0: the rounds and their record."""
    experiment, folder, begun = beginning.experiment, beginning.folder, beginning.begun
    job = experiment.job
    stop.again = shlex.join(["mpifl", "run", "-n", str(world.size), "--resume", os.path.relpath(folder)])
    lines = check_reports(reports, experiment, world.recovers)
    lines += check_resumed(reports, folder / ENVIRONMENT, job.runtime.require_same_processors)
    for line in lines:
        print(f"mpifl: {line}", file=sys.stderr, flush=True)
    write_environment(folder, library(), rank_groups(reports), beginning.content_sha256, job.plug_ins)
    if world.size > 1 and not world.recovers:  # nobody could say it any more when a rank is lost
        again = f"--resume {os.path.relpath(folder)}"
        print(f"mpifl: with this MPI the loss of a rank ends the run; then go on with {again}", file=sys.stderr, flush=True)
    totals, too_few = Totals(), TooFewOnline.of(experiment)
    with run_file(folder, job, begun.rows) as file:
        for row in file.rounds():
            totals.add(row)
            too_few.add(row)

        def ended_round(result: RoundResult) -> None:
            row = file.append(result)
            totals.add(row)
            for line in too_few.add(row):
                print(line)
            print_round(row, job.rounds)

        checkpoints = Checkpoints(folder / CHECKPOINTS, job.checkpoint.every, job.checkpoint.keep, file, begun.rounds_done)
        try:
            digest = _rounds(world, beginning, Logbook(begun, ended_round, checkpoints, stop), file, totals)
        finally:
            checkpoints.close()
    world.watch.begin("end")
    spent = _spent(world, experiment)
    identity = {"name": job.name, "seed": job.seed, "ranks": world.size + world.lost, "mpi": library(), "rounds": job.rounds}
    seconds = time.monotonic() - world.watch.started
    wall = {"wall_seconds": round(seconds, 3), "model_sha256": digest, **where_time_went(seconds, world.watch, spent)}
    summary = {**identity, **totals.summary(), **wall, "resumed_from": begun.rounds_done or None, "ranks_lost": world.lost}
    write_summary(folder, summary)
    print("\n".join([*too_few.closing(), *closing_lines(summary, os.path.relpath(folder))]), flush=True)


def _rounds(world: World, beginning: Beginning, log: Logbook, file: RunFile, totals: Totals) -> str | None:
    """The rounds that are left; of a job that trains, the SHA-256 of the model that it writes.

    Raises TrainingError when nobody was trained in the whole run, because all who were to be failed.
    """
    experiment, folder = beginning.experiment, beginning.folder
    world.watch.begin("server")
    if not isinstance(experiment, Experiment):
        run_timing(experiment, log, world.watch)
        return None
    from mpifl.aggregator import make_server, run_aggregator  # here, for the same reason
    from mpifl.record.model_file import write_model

    store = ClientStore(folder / CHECKPOINTS / "clients", len(experiment.model.weights))
    server = make_server(experiment, log.begun)
    while True:
        _note_loss(world, file, server.rounds_done + 1)
        try:
            run_aggregator(world, server, store, log)
        except RankLost:
            world.recover()
            continue
        totals.check_trained()
        return write_model(folder, experiment.model, server.state["model"])


def _note_loss(world: World, file: RunFile, round_number: int) -> None:
    if world.lost:
        file.lost(round_number, world.size, time.monotonic() - world.watch.started)
        left = "1 rank is" if world.size == 1 else f"{world.size} ranks are"
        print(f"mpifl: {world.lost} lost, {left} left; going on with round {round_number}", file=sys.stderr, flush=True)


def _tell(world: World, error: BaseException) -> None:
    """One line with rank, round, client and cause; of an InputError one an error."""
    kind = "" if isinstance(error, InputError | TrainingError) else f"{type(error).__name__}: "
    place = "mpifl: " + ", ".join(part for part in (f"rank {world.rank}", where(error)) if part)
    print(error.within(place) if isinstance(error, InputError) else f"{place}: {kind}{error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
