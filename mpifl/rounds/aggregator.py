"""The aggregator, rank 0: the round loop. ``executor.py`` is the other side of the same protocol.

An assignment has all rounds that can be trained without a model version that is still to be made:
one round with a synchronous clock, often several with an asynchronous one. The test of a round's
model is part of the next assignment, so that it fills the time in which executors finish training.
The last assignment has tests only.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.errors import InputError, Interrupted, TrainingError, at
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.rounds.assignment import Assignment, Results, Stage
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.client_state import ClientStore
from mpifl.rounds.evaluation import tested_rounds
from mpifl.rounds.learning import learned
from mpifl.rounds.personal_clients import to_test
from mpifl.rounds.plan import Plan
from mpifl.rounds.planning import (
    forget_held,
    next_assignment,
    plan_round,
    plans_ahead,
    versions_for,
)
from mpifl.rounds.protocol import (
    aggregator_receive_results,
    aggregator_send_assignment,
    aggregator_send_end,
    aggregator_serve_tickets,
)
from mpifl.rounds.round_result import CLIENT_TEST
from mpifl.rounds.server import Server, keep_version, make_snapshot
from mpifl.rounds.server_step import next_state
from mpifl.rounds.snapshot import Waiting
from mpifl.rounds.tickets import ticket_costs, work_on
from mpifl.rounds.worker import make_worker
from mpifl.stopwatch import Stopwatch


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
    forget_held(server)

    while server.plans or server.rounds_done < experiment.job.rounds or server.untested:
        assignment = next_assignment(server, callbacks.checkpoints.oldest, watch)
        kept, fresh = versions_for(server, assignment)
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


# While executors train


def _meanwhile(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """Report the rounds that are over, and plan the round after the assignment under way.

    Only where nothing that executors do changes that plan. An error in it is raised when its turn
    comes.
    """
    job = server.experiment.job
    round_number = server.rounds_done + len(server.plans) + 1
    with watch.meanwhile():
        _report_rounds(server, callbacks, watch)
        if server.ahead is None and round_number <= job.rounds and plans_ahead(server):
            with contextlib.suppress(InputError, TrainingError):
                server.ahead = plan_round(server, round_number, watch)


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
    metrics = _metrics(server, assignment, results)
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


def _metrics(server: Server, assignment: Assignment, results: Results) -> np.ndarray:
    """Return the metrics (structured METRIC) of the rounds that end with an assignment.

    Those of a round that is settled later are kept until it ends.
    """
    metrics = results.metrics(assignment)
    if assignment.stage == Stage.WHOLE:
        return metrics

    unsettled = server.unsettled
    assert unsettled is not None
    if assignment.stage == Stage.TRAIN:
        by_client = metrics[np.argsort(metrics["client"])]
        server.unsettled = replace(unsettled, metrics=by_client)
        return metrics
    assert unsettled.metrics is not None
    server.unsettled = None
    counted = np.isin(unsettled.metrics["client"], assignment.tasks["client"])
    return unsettled.metrics[counted]


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
