"""The aggregator, rank 0: the round loop. ``executor.py`` is the other side of the same protocol.

Rounds are taken in batches, as many as need no model that is not there yet: with a synchronous clock one. The test of the model
that a round made is part of the next batch's queue, so that it fills the tail of training; a last batch has tests only.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum, from_fixed
from mpifl.algorithms.algorithm import State
from mpifl.clock.timeline import ClockState
from mpifl.errors import InputError, Interrupted, TrainingError, at
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.client_state import ClientStore
from mpifl.rounds.contract import Contract
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.plan import TASK, Plan, largest_first, make_plan
from mpifl.rounds.protocol import (
    Assignment,
    Results,
    Versions,
    aggregator_receive_results,
    aggregator_send_assignment,
    aggregator_send_end,
    aggregator_serve_tickets,
    keep_only,
)
from mpifl.rounds.round_result import CLIENT_TEST, RoundResult, Tested
from mpifl.rounds.server_step import checked, first_state, next_state
from mpifl.rounds.snapshot import STATE_ROUND, Snapshot, Waiting
from mpifl.rounds.tickets import ticket_costs, work_on
from mpifl.rounds.worker import make_worker
from mpifl.stopwatch import Stopwatch

ASSIGNMENT_ROUNDS = 64
ASSIGNMENT_BYTES = 1 << 28  # of one rank's running sums


@dataclass
class Server:
    """What changes on rank 0 from round to round.

    ``versions`` are those that some participant under way, or a test, still needs; ``unsent`` those the executors do not have.
    ``ahead`` is a plan that was made but needs a model that is not there yet, ``plans`` those of the batch that is under way.
    ``untested`` are rounds that are over and wait for their test, ``unwritten`` those that wait to be noted.
    ``state_rounds`` holds, by client, the round after which it last kept state; empty where the algorithm keeps none.
    ``contract`` is what the job's plug-ins have to keep to.
    """

    experiment: Experiment
    state: State
    version: int = 0
    versions: Versions = field(default_factory=dict)
    unsent: set[int] = field(default_factory=set)
    rounds_done: int = 0
    clock: ClockState = field(default_factory=ClockState)
    ahead: Plan | None = None
    plans: list[Plan] = field(default_factory=list)
    untested: list[Waiting] = field(default_factory=list)
    unwritten: list[RoundResult] = field(default_factory=list)
    state_rounds: dict[int, int] = field(default_factory=dict)
    contract: Contract = field(init=False)

    def __post_init__(self) -> None:
        """Look at the plug-ins before they do anything."""
        job = self.experiment.job
        self.contract = Contract(job.algorithm, job.model, self.experiment.model.module)


def run_aggregator(
    world: World, server: Server, store: ClientStore, callbacks: RunCallbacks
) -> None:
    """Run all rounds that are left; call ``callbacks.ended_round`` for each once its model is tested.

    Called again after RankLost, with the ranks that are left, it repeats the assignment that was
    under way.

    Raises:
        Interrupted: When ``callbacks.stop`` says that the run is to end early; its checkpoint is
            being written then.
        RankLost: When a rank has died.
        RankTimeout: When ranks do not answer for ``runtime.round_timeout``.
    """
    experiment = server.experiment
    watch = world.watch
    queue = Queue(world)
    worker = make_worker(experiment, store) if world.executes else None
    world.patience_seconds = experiment.job.runtime.round_timeout
    server.unsent = set(server.versions)

    while server.plans or server.rounds_done < experiment.job.rounds or server.untested:
        server.plans = server.plans or _next_plans(server, watch)
        assignment = _assignment(server, server.plans, callbacks.checkpoints.oldest)
        kept, fresh = _versions_for(server, assignment)
        with watch("broadcast"):
            aggregator_send_assignment(world, assignment, kept, fresh)

        if worker is not None:
            _write(server, callbacks, watch)
            results, rows = work_on(world, worker, assignment, server.versions, queue)
        else:
            results = Results.empty(experiment, assignment)
            rows = np.empty(0, CLIENT_TEST) if experiment.job.evaluation.per_client else None
            with watch("wait"):
                costs = ticket_costs(experiment, assignment)
                meanwhile = partial(_meanwhile, server, callbacks, watch)
                aggregator_serve_tickets(queue, costs, meanwhile)

        with watch("reduce"):
            rows = aggregator_receive_results(world, results, rows)
        _end_assignment(server, assignment, results, rows)
        if _save_and_stop(server, callbacks, watch):
            break

    _write(server, callbacks, watch)
    aggregator_send_end(world)
    if server.rounds_done < experiment.job.rounds or server.untested:
        raise Interrupted(f"stopped after round {server.rounds_done}, with a checkpoint")


def _save_and_stop(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> bool:
    """Save the run when that is due; return whether it is to end early."""
    stopped = callbacks.stop()
    if stopped or callbacks.checkpoints.due(server.rounds_done):
        _write(server, callbacks, watch)
        with watch("writing"):
            callbacks.checkpoints.save(_snapshot(server))
    return stopped


def _end_assignment(
    server: Server, assignment: Assignment, results: Results, rows: np.ndarray | None
) -> None:
    """Take over what came back from all ranks. Nothing here can fail because a rank is lost."""
    plans = server.plans
    server.plans = []
    metrics = results.metrics(assignment)
    server.unwritten += _tested_rounds(server, assignment, results.tests, rows)

    for index, plan in enumerate(plans):
        with at(f"round {plan.round_number}"):
            own = metrics[metrics["round"] == plan.round_number]
            own = own[np.argsort(own["client"])]
            failed = own["client"][own["failed"] > 0]
            if server.experiment.job.algorithm.keeps_state:
                trained = own["client"][own["failed"] == 0]
                server.state_rounds.update(dict.fromkeys(trained.tolist(), plan.round_number))
            _step(server, plan.tasks, failed, results.round_sum(index))
            _end_round(server, plan, own)


def make_server(experiment: Experiment, snapshot: Snapshot) -> Server:
    """The server at the start of a run, or as a checkpoint has it."""
    if snapshot.state is None:
        server = Server(experiment, first_state(experiment))
        _keep_version(server)
        return server
    # In the order in which they are sent; a file gives them by name.
    sent = experiment.job.algorithm.sent
    versions = {
        number: {name: vectors[name] for name in sent}
        for number, vectors in (snapshot.versions or {}).items()
    }
    return Server(
        experiment=experiment,
        state=checked(experiment, snapshot.state),
        version=snapshot.version,
        versions=versions,
        unsent=set(versions),
        rounds_done=snapshot.rounds_done,
        clock=snapshot.clock,
        untested=list(snapshot.untested),
        state_rounds=dict(snapshot.state_rounds.tolist()),
    )


def _snapshot(server: Server) -> Snapshot:
    """The server as it is between two batches. A plan that was made ahead is left out: it will be made again."""
    job = server.experiment.job
    tests = [waiting.version for waiting in server.untested if waiting.version is not None]
    bases = job.clock.bases(server.clock).tolist()
    needed = sorted(
        {number for number in (*tests, *bases, server.version) if number <= server.version}
    )
    return Snapshot(
        rounds_done=server.rounds_done,
        version=server.version,
        state=dict(server.state),
        versions={number: server.versions[number] for number in needed},
        clock=server.clock,
        untested=tuple(server.untested),
        state_rounds=np.array(sorted(server.state_rounds.items()), STATE_ROUND),
    )


def _meanwhile(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """While executors train: note the rounds that are over, and plan the one after those under way.

    Nothing that executors do changes that plan. What is wrong with it is said when its turn comes.
    """
    round_number = server.rounds_done + len(server.plans) + 1
    with watch.meanwhile():
        _write(server, callbacks, watch)
        if server.ahead is None and round_number <= server.experiment.job.rounds:
            with contextlib.suppress(InputError, TrainingError):
                server.ahead = _plan(server, round_number, watch)


def _write(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """Tell the log of the rounds that are over."""
    with watch("writing"):
        while server.unwritten:
            callbacks.ended_round(server.unwritten.pop(0))


def _plan(server: Server, round_number: int, watch: Stopwatch) -> Plan:
    experiment = server.experiment
    with at(f"round {round_number}"):
        plan = make_plan(
            experiment.job,
            experiment.population,
            experiment.workload,
            round_number,
            server.clock,
            watch,
        )
    return replace(plan, tasks=largest_first(plan.tasks, experiment.stack))


def _next_plans(server: Server, watch: Stopwatch) -> list[Plan]:
    """The next rounds that train from versions that are there; at least one while rounds are left."""
    job, experiment = server.experiment.job, server.experiment
    entries = (
        len(job.algorithm.summed) * len(experiment.model.gradient) + 2 * experiment.model.averaged
    )
    most = max(1, min(ASSIGNMENT_ROUNDS, ASSIGNMENT_BYTES // (8 * entries)))
    plans: list[Plan] = []
    while len(plans) < most and server.rounds_done + len(plans) < job.rounds:
        plan = server.ahead or _plan(server, server.rounds_done + len(plans) + 1, watch)
        if plans and len(plan.tasks) and plan.tasks["base"].max() > server.version:
            server.ahead = plan
            break
        plans.append(plan)
        server.ahead, server.clock = None, plan.after
        if not job.clock.asynchronous:
            break
    return plans


def _assignment(server: Server, plans: list[Plan], oldest: int) -> Assignment:
    tests = {waiting.version for waiting in server.untested if waiting.version is not None}
    tasks = np.concatenate([np.empty(0, TASK), *(plan.tasks for plan in plans)])
    if len(plans) > 1:  # each round's are in order
        tasks = largest_first(tasks, server.experiment.stack)
    tasks["state_round"] = [
        server.state_rounds.get(client, 0) for client in tasks["client"].tolist()
    ]
    return Assignment(
        server.rounds_done + 1, len(plans), tasks, np.array(sorted(tests), np.int64), oldest
    )


def _versions_for(server: Server, assignment: Assignment) -> tuple[np.ndarray, Versions]:
    """The versions to keep (the last, those that the batch needs, those of who is under way after it), and the new of them."""
    bases = [
        assignment.tasks["base"],
        assignment.tests,
        server.experiment.job.clock.bases(server.clock),
        np.array([server.version]),
    ]
    needed = np.unique(np.concatenate(bases).astype(np.int64))
    needed = needed[needed <= server.version]  # later ones are made by this batch
    keep_only(server.versions, needed)
    fresh = {
        number: server.versions[number] for number in needed.tolist() if number in server.unsent
    }
    server.unsent.clear()
    return needed, fresh


def _step(server: Server, tasks: np.ndarray, failed: np.ndarray, part: RoundSum) -> None:
    """The server's side of the algorithm. A round that nobody completed leaves the state as it is."""
    if len(tasks) == 0:
        return
    if not np.isin(tasks["client"], failed).all():
        server.state = next_state(
            server.experiment, server.state, server.versions, tasks, failed, part
        )
        server.contract.check()
    server.version += 1  # as the clock has counted
    _keep_version(server)


def _keep_version(server: Server) -> None:
    server.versions[server.version] = {
        name: server.state[name] for name in server.experiment.job.algorithm.sent
    }
    server.unsent.add(server.version)


def _end_round(server: Server, plan: Plan, metrics: np.ndarray) -> None:
    """A round is over; its model waits for its test, if one is due."""
    job = server.experiment.job
    server.rounds_done = plan.round_number
    due = plan.round_number % job.evaluation.every == 0 or plan.round_number == job.rounds
    server.untested.append(Waiting(plan, metrics, server.version if due else None))


def _tested_rounds(
    server: Server, assignment: Assignment, tests: np.ndarray, rows: np.ndarray | None
) -> list[RoundResult]:
    """Return the rounds that waited for the tests of this assignment."""
    experiment = server.experiment
    clients = np.empty(0, CLIENT_TEST) if rows is None else rows
    tested = {}
    for version, sums in zip(assignment.tests.tolist(), tests, strict=True):
        scored, correct, loss = int(sums[0]), int(sums[1]), float(from_fixed(sums[2]))
        mean_loss = loss * (experiment.tested_part.samples / scored)
        scores = experiment.objective.metrics(scored, correct, mean_loss, sums[3:])
        tested[version] = Tested(scores, _whole_clients(clients[clients["version"] == version]))
    results = [
        RoundResult(
            waiting.plan,
            waiting.metrics,
            None if waiting.version is None else tested[waiting.version],
        )
        for waiting in server.untested
    ]
    server.untested.clear()
    return results


def _whole_clients(rows: np.ndarray) -> np.ndarray:
    """One row (CLIENT_TEST) a client, by client; those whose samples lie in several shards are added up in a fixed order."""
    if not len(rows):
        return rows
    rows = np.sort(rows, order=["client", "scored", "correct", "loss"])
    first = np.flatnonzero(np.diff(rows["client"], prepend=-1))
    whole = rows[first].copy()
    for name in ("scored", "correct", "loss"):
        whole[name] = np.add.reduceat(rows[name], first)
    return whole
