"""The aggregator, rank 0: the round loop. ``executor.py`` is the other side of the same protocol.

An assignment has all rounds that can be trained without a model version that is still to be made:
one round with a synchronous clock, often several with an asynchronous one. The test of a round's
model is part of the next assignment, so that it fills the time in which executors finish training.
The last assignment has tests only.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from functools import partial

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.errors import InputError, Interrupted, TrainingError, at
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.client_state import ClientStore
from mpifl.rounds.evaluation import tested_rounds
from mpifl.rounds.learning import learned
from mpifl.rounds.personal_clients import to_test
from mpifl.rounds.plan import TASK, Plan, largest_first, make_plan
from mpifl.rounds.probe import plan_probe
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
from mpifl.rounds.round_result import CLIENT_TEST, PERSONAL
from mpifl.rounds.server import Server, keep_version, make_snapshot, needed_versions
from mpifl.rounds.server_step import next_state
from mpifl.rounds.snapshot import Waiting
from mpifl.rounds.tickets import ticket_costs, work_on
from mpifl.rounds.worker import make_worker
from mpifl.stopwatch import Stopwatch

ASSIGNMENT_ROUNDS = 64
"""The most rounds of an assignment."""

ASSIGNMENT_BYTES = 1 << 28
"""The most memory of one rank's running sums, which bounds the rounds of an assignment."""


def run_aggregator(
    world: World, server: Server, store: ClientStore, callbacks: RunCallbacks
) -> None:
    """Run all rounds that are left; call ``callbacks.ended_round`` for each once it is tested.

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
        if not _has_to_probe(server, watch):
            server.plans = server.plans or _next_plans(server, watch)
        assignment = _assignment(server, server.plans, callbacks.checkpoints.oldest)
        kept, fresh = _versions_for(server, assignment)
        with watch("broadcast"):
            aggregator_send_assignment(world, assignment, kept, fresh)

        if worker is not None:
            _report_rounds(server, callbacks, watch)
            results, rows = work_on(world, worker, assignment, server.versions, queue)
        else:
            results = Results.empty(experiment, assignment)
            rows = np.empty(0, CLIENT_TEST) if experiment.job.evaluation.by_client else None
            with watch("wait"):
                costs = ticket_costs(experiment, assignment)
                meanwhile = partial(_meanwhile, server, callbacks, watch)
                aggregator_serve_tickets(queue, costs, meanwhile)

        with watch("reduce"):
            rows = aggregator_receive_results(world, results, rows)
        _end_assignment(server, assignment, results, rows)
        if _save_and_stop(server, callbacks, watch):
            break

    _report_rounds(server, callbacks, watch)
    aggregator_send_end(world)
    if server.rounds_done < experiment.job.rounds or server.untested:
        raise Interrupted(f"stopped after round {server.rounds_done}, with a checkpoint")


# Before training: plans and the assignment


def _has_to_probe(server: Server, watch: Stopwatch) -> bool:
    """Return whether the next assignment is the probe of the next round; plan that probe."""
    experiment = server.experiment
    job = experiment.job
    left = server.rounds_done < job.rounds and not server.plans
    if job.selection.probes and left and server.probe is None:
        round_number = server.rounds_done + 1
        with at(f"round {round_number}"):
            probe = plan_probe(
                job,
                experiment.population,
                experiment.workload,
                round_number,
                server.clock,
                server.learned,
                watch,
            )
        server.probe = (probe, None)
    return server.probe is not None and server.probe[1] is None


def _next_plans(server: Server, watch: Stopwatch) -> list[Plan]:
    """Return the plans of the next rounds whose base versions are known.

    While rounds are left there is at least one.
    """
    experiment = server.experiment
    job = experiment.job
    entries = sum(math.prod(shape) for shape in experiment.sums.shapes(1))
    max_rounds = max(1, min(ASSIGNMENT_ROUNDS, ASSIGNMENT_BYTES // (8 * max(1, entries))))

    plans: list[Plan] = []
    while len(plans) < max_rounds and server.rounds_done + len(plans) < job.rounds:
        plan = server.ahead or _plan(server, server.rounds_done + len(plans) + 1, watch)
        if plans and len(plan.tasks) and plan.tasks["base"].max() > server.version:
            server.ahead = plan
            break

        plans.append(plan)
        server.ahead = None
        server.probe = None
        server.clock = plan.after
        if not job.clock.asynchronous or job.selection.learns:
            break
    return plans


def _plan(server: Server, round_number: int, watch: Stopwatch) -> Plan:
    """Return the plan of a round, its tasks in the order in which executors take them."""
    experiment = server.experiment
    probed = None
    if server.probe is not None:
        probe, losses = server.probe
        assert losses is not None
        probed = (probe, losses)
    with at(f"round {round_number}"):
        plan = make_plan(
            experiment.job,
            experiment.population,
            experiment.workload,
            round_number,
            server.clock,
            server.learned,
            watch,
            probed,
        )
    return replace(plan, tasks=largest_first(plan.tasks, experiment.stack))


def _assignment(server: Server, plans: list[Plan], oldest: int) -> Assignment:
    """Return the assignment of some plans and of the tests that are due."""
    tests = {waiting.version for waiting in server.untested if waiting.version is not None}
    tasks = np.concatenate([np.empty(0, TASK), *(plan.tasks for plan in plans)])
    if len(plans) > 1:  # the tasks of one plan are in order already
        tasks = largest_first(tasks, server.experiment.stack)
    tasks["state_round"] = [
        server.state_rounds.get(client, 0) for client in tasks["client"].tolist()
    ]

    personal = [waiting.personal for waiting in server.untested if len(waiting.personal)]
    # What clients kept after those rounds is read once more.
    oldest = min([oldest, *(int(rows["round"][0]) for rows in personal)])
    _, first = np.unique([int(rows["version"][0]) for rows in personal], return_index=True)
    return Assignment(
        first_round=server.rounds_done + 1,
        rounds=len(plans),
        tasks=tasks,
        tests=np.array(sorted(tests), np.int64),
        personal=np.concatenate([np.empty(0, PERSONAL), *(personal[i] for i in first)]),
        probes=np.empty(0, np.int64) if server.probe is None else server.probe[0].clients,
        oldest=oldest,
    )


def _versions_for(server: Server, assignment: Assignment) -> tuple[np.ndarray, Versions]:
    """Return the numbers of the versions that executors keep, and those versions that they lack.

    Kept are those that the assignment's tasks train from, and those that are needed after it.
    """
    kept = needed_versions(server, assignment.tasks["base"])
    keep_only(server.versions, kept)

    fresh = {number: server.versions[number] for number in kept.tolist() if number in server.unsent}
    server.unsent.clear()
    return kept, fresh


# While executors train


def _meanwhile(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """Report the rounds that are over, and plan the round after the assignment under way.

    Nothing that executors do changes that plan, unless the selection rule learns from it or probes
    the model. An error in it is raised when its turn comes.
    """
    job = server.experiment.job
    depends = job.selection.learns or job.selection.probes
    round_number = server.rounds_done + len(server.plans) + 1
    with watch.meanwhile():
        _report_rounds(server, callbacks, watch)
        if server.ahead is None and round_number <= job.rounds and not depends:
            with contextlib.suppress(InputError, TrainingError):
                server.ahead = _plan(server, round_number, watch)


def _report_rounds(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """Call ``callbacks.ended_round`` for the rounds that are over and tested."""
    with watch("writing"):
        while server.unwritten:
            callbacks.ended_round(server.unwritten.pop(0))


# After training: the server's step


def _end_assignment(
    server: Server, assignment: Assignment, results: Results, rows: np.ndarray | None
) -> None:
    """Apply the results of all ranks. Nothing here can fail because a rank is lost."""
    experiment = server.experiment
    plans = server.plans
    server.plans = []
    if server.probe is not None:
        server.probe = (server.probe[0], results.probe_losses())
    metrics = results.metrics(assignment)
    server.unwritten += tested_rounds(experiment, server.untested, assignment, results.tests, rows)
    server.untested.clear()

    for index, plan in enumerate(plans):
        with at(f"round {plan.round_number}"):
            round_metrics = metrics[metrics["round"] == plan.round_number]
            round_metrics = round_metrics[np.argsort(round_metrics["client"])]
            if experiment.kept_shapes:
                trained = round_metrics["client"][round_metrics["failed"] == 0]
                server.state_rounds.update(dict.fromkeys(trained.tolist(), plan.round_number))
            _step(server, plan, round_metrics, results.round_sum(index))
            server.learned = learned(experiment, server.learned, plan, round_metrics)
            _end_round(server, plan, round_metrics)


def _step(server: Server, plan: Plan, metrics: np.ndarray, round_sum: RoundSum) -> None:
    """Take the server's step of the algorithm; a round that nobody completed leaves the state."""
    if len(plan.tasks) == 0:
        return

    if not metrics["failed"].all():
        server.state = next_state(server.experiment, server.state, plan, metrics, round_sum)
        server.contract.check()
    server.version += 1  # as the clock has counted
    keep_version(server)


def _end_round(server: Server, plan: Plan, metrics: np.ndarray) -> None:
    """Count a round as done; its result waits for the test of its model, if one is due."""
    job = server.experiment.job
    server.rounds_done = plan.round_number
    due = plan.round_number % job.evaluation.every == 0 or plan.round_number == job.rounds
    if not due:
        server.untested.append(Waiting(plan, metrics, None))
        return
    clients = server.experiment.personal_clients
    personal = to_test(clients, server.version, plan.round_number, server.state_rounds)
    server.untested.append(Waiting(plan, metrics, server.version, personal))


def _save_and_stop(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> bool:
    """Save a snapshot when one is due; return whether the run is to end early."""
    stopped = callbacks.stop()
    if stopped or callbacks.checkpoints.due(server.rounds_done):
        _report_rounds(server, callbacks, watch)
        with watch("writing"):
            callbacks.checkpoints.save(make_snapshot(server))
    return stopped
