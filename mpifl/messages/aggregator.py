"""Rank 0 of a protocol: takes events, ends rounds, tests their models, saves.

``executor.py`` is the other side of the same messages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mpifl.clock.kernels.availability import count_online
from mpifl.clock.timeline import ClockState, Outcome
from mpifl.errors import Interrupted
from mpifl.messages.actor_files import read_actors, remove_before
from mpifl.messages.driver import Driver
from mpifl.messages.events import events_json, events_of
from mpifl.messages.host import Host, make_host
from mpifl.messages.ledger import Closed, messages_of, metrics_of, timeline_of
from mpifl.messages.letter import Effects, Handling, Letter
from mpifl.messages.links import links_of
from mpifl.messages.reports import take_reports
from mpifl.messages.wire import (
    END,
    RESTORE,
    TEST,
    Reports,
    aggregator_mean,
    aggregator_run,
    aggregator_save,
    aggregator_send_order,
)
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.clients.assignment import Assignment, Results, Versions
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.worker import Worker, make_worker
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import ONLINE_SAMPLE, TASK, Plan
from mpifl.rounds.plan.round_result import CLIENT_TEST, PERSONAL, RoundResult
from mpifl.rounds.plan.snapshot import Snapshot, Waiting
from mpifl.rounds.protocol import (
    aggregator_receive_results,
    aggregator_send_assignment,
    aggregator_serve_tickets,
)
from mpifl.rounds.server.evaluation import tested_rounds
from mpifl.rounds.tickets import ticket_costs, work_on
from mpifl.seeds import Purpose, number


@dataclass
class ProtocolRun:
    """A run of a protocol on rank 0.

    Attributes:
        world: The ranks.
        experiment: The job.
        callbacks: What is called while it goes on.
        folder: Where the actors' files are.
        saved: The last snapshot: where ranks that are left begin again.
        recorded: How many rounds the record has; those that are made again are not recorded again.
        model: The model of the last round, (size,) float32.
        worker: What rank 0 trains with when it is alone.
        host: The actors, when it is alone.
        driver: The events.
        reporters: The actors that have reported a model.
        waiting: The last round, where it is tested for no other reason, until it is recorded. A
            checkpoint has it without its test: a run that is extended goes on without that test.
    """

    world: World
    experiment: Experiment
    callbacks: RunCallbacks
    folder: Path
    saved: Snapshot
    recorded: int
    model: np.ndarray
    worker: Worker | None = None
    host: Host | None = None
    driver: Driver = field(init=False)
    reporters: set[int] = field(default_factory=set)
    waiting: Waiting | None = None


def start_protocol(
    world: World, experiment: Experiment, callbacks: RunCallbacks, folder: Path
) -> ProtocolRun:
    """Return the run of a protocol, before its first event or where a snapshot has left it."""
    snapshot = callbacks.snapshot
    model = experiment.initial if snapshot.state is None else snapshot.state["model"]
    recorded = snapshot.rounds_done - len(snapshot.untested)
    return ProtocolRun(world, experiment, callbacks, folder, snapshot, recorded, model)


def run_protocol(run: ProtocolRun) -> None:
    """Run all rounds that are left. Called again after RankLost, it goes on from the last snapshot.

    Raises:
        Interrupted: When ``callbacks.stop`` says that the run is to end early; its checkpoint is
            being written then.
        RankLost: When a rank has died.
        RankTimeout: When ranks do not answer for ``runtime.round_timeout``.
    """
    experiment = run.experiment
    run.world.patience_seconds = experiment.job.runtime.round_timeout
    _restore(run)
    last = experiment.job.rounds
    stopped = run.callbacks.met() or run.waiting is not None
    while run.driver.events.rounds_done < last and not stopped:
        done = run.driver.events.rounds_done
        with run.world.watch("server"):
            run.driver.next_round(run.callbacks.stop)
        for round_number in range(done + 1, run.driver.events.rounds_done + 1):
            if run.waiting is None:  # else the round before was the last one
                _end_round(run, round_number)
        stopped = _save_and_stop(run, within=run.driver.events.rounds_done == done)

    if run.waiting is not None:
        _record(run, run.waiting)
    aggregator_send_order(run.world, END)
    if run.driver.events.rounds_done < last and not run.callbacks.met():
        over = run.driver.events.rounds_done
        when = f"in round {over + 1}" if run.saved.events else f"after round {over}"
        raise Interrupted(f"stopped {when}, with a checkpoint", over)


def _restore(run: ProtocolRun) -> None:
    """Put events and actors where the last snapshot has left them, on all ranks."""
    experiment = run.experiment
    world = run.world
    job = experiment.job
    if world.executes:
        store = ClientStore(run.folder, {})
        run.worker = run.worker or make_worker(experiment, store)
        run.host = make_host(run.worker)

    population = experiment.population
    setting = job.protocol.setting(job, population)
    links = links_of(job, population, experiment.workload, setting)
    actors = population.clients + job.protocol.servers(population)

    def execute(handlings: Sequence[Handling], letters: Sequence[Letter]) -> list[Effects]:
        return aggregator_run(world, run.host, handlings, letters)

    run.waiting = None
    for waiting in run.saved.untested:
        if waiting.plan.round_number <= run.recorded:
            continue
        if waiting.version is None:  # the run is longer now: it is no longer the last round
            _record(run, waiting)
        else:
            run.waiting = waiting
    run.reporters = set()
    reporters = job.protocol.reporters(population)
    if not run.saved.messages:
        run.driver = Driver(links, actors, reporters, execute)
        run.driver.start()
        return
    saved = json.loads(run.saved.messages)
    run.driver = Driver(links, actors, reporters, execute, events_of(saved["events"]))
    run.reporters = set(saved["reporters"])
    aggregator_send_order(world, RESTORE, files=saved["files"])
    if run.host is not None:
        read_actors(run.folder, run.host, saved["files"], 0, 1)


def _end_round(run: ProtocolRun, round_number: int) -> None:
    """End a round: its model is the mean of those reported, it is tested and recorded."""
    experiment = run.experiment
    job = experiment.job
    events = run.driver.events
    closed = events.ledger.close(round_number, events.now)
    reporters = job.protocol.reporters(experiment.population)
    reports = take_reports(events, job.protocol, round_number)
    run.reporters.update(actor for actor, _ in reports)
    models = 1 if job.protocol.joins else reporters
    wanted = Reports(reports, models, reporters - len(run.reporters))
    run.model, distance = aggregator_mean(run.world, run.host, wanted, experiment.initial)
    if round_number <= run.recorded:
        return

    due = job.evaluation.due(round_number)
    last = round_number == job.rounds or job.stop.out_of_time(closed.ended)
    waiting = Waiting(
        _plan(run, closed, round_number),
        metrics_of(closed, round_number),
        round_number if due or last else None,
        messages=messages_of(closed, round_number, distance),
    )
    if last and not due:
        run.waiting = waiting
    else:
        _record(run, waiting)


def _record(run: ProtocolRun, waiting: Waiting) -> None:
    """Test the model of a round, where that is due, and record the round."""
    result = RoundResult(waiting.plan, waiting.metrics, None, waiting.messages)
    if waiting.version is not None:
        result = _tested(run, waiting)
    with run.world.watch("writing"):
        run.callbacks.ended_round(result)
    run.recorded = waiting.plan.round_number
    run.waiting = None


def _plan(run: ProtocolRun, closed: Closed, round_number: int) -> Plan:
    """Return a round that is over as the record has it."""
    population = run.experiment.population
    timeline = timeline_of(closed, round_number - 1, population)
    rows = timeline.participants
    done = rows[rows["outcome"] == Outcome.COMPLETED]
    tasks = np.zeros(len(done), TASK)
    tasks["round"] = round_number
    tasks["began"] = round_number
    for name in ("client", "base", "steps", "samples"):
        tasks[name] = done[name]

    key = number(run.experiment.job.seed, Purpose.ONLINE, round_number)
    online = count_online(
        population.phones, population.clients, key, timeline.start_seconds, ONLINE_SAMPLE
    )
    return Plan(round_number, tasks, timeline, ClockState(closed.ended, round_number), online)


def _tested(run: ProtocolRun, waiting: Waiting) -> RoundResult:
    """Return the result of a round whose model is tested by all ranks."""
    world = run.world
    experiment = run.experiment
    round_number = waiting.plan.round_number
    numbers = np.array([round_number])
    nobody = np.empty(0, np.int64)
    assignment = Assignment(
        round_number, 0, np.empty(0, TASK), numbers, np.empty(0, PERSONAL), nobody, 0
    )
    versions: Versions = {round_number: {"model": run.model}}
    queue = Queue(world)

    aggregator_send_order(world, TEST)
    if run.worker is not None and world.executes:
        results, rows = work_on(world, run.worker, assignment, versions, queue)
    else:
        with world.watch("broadcast"):
            aggregator_send_assignment(world, assignment, nobody, versions)
        results = Results.empty(experiment, assignment)
        rows = np.empty(0, CLIENT_TEST) if experiment.job.evaluation.by_client else None
        with world.watch("wait"):
            aggregator_serve_tickets(queue, ticket_costs(experiment, assignment), _nothing)
    with world.watch("reduce"):
        rows = aggregator_receive_results(world, results, rows)
    return tested_rounds(experiment, [waiting], assignment, results, rows)[0]


def _save_and_stop(run: ProtocolRun, within: bool) -> bool:
    """Save a snapshot when one is due; return whether the run is to end now.

    ``within`` says that a round is not over.
    """
    callbacks = run.callbacks
    events = run.driver.events
    rounds_done = events.rounds_done
    met = callbacks.met() or run.waiting is not None
    stopped = callbacks.stop()
    last = met or rounds_done == run.experiment.job.rounds
    if stopped or callbacks.checkpoints.due(rounds_done, last):
        with run.world.watch("writing"):
            snapshot = Snapshot(
                rounds_done=rounds_done,
                version=rounds_done,
                state={"model": run.model},
                clock=ClockState(events.now, rounds_done),
                untested=() if run.waiting is None else (run.waiting,),
                events=events.taken if within else 0,
            )
            if within and snapshot.moment == run.saved.moment:  # a file of that name is there
                return True
            saved = {
                "events": events_json(events),
                "reporters": sorted(run.reporters),
                "files": aggregator_save(run.world, run.host, run.folder, snapshot.moment),
            }
            run.saved = replace(snapshot, messages=json.dumps(saved))
            callbacks.checkpoints.save(run.saved)
            remove_before(run.folder, callbacks.checkpoints.oldest)
    return stopped or met


def _nothing() -> None:
    """Do nothing while executors test."""
