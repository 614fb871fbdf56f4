"""The aggregator, rank 0: the round loop. ``executor.py`` is the other side of the same protocol.

An assignment has all rounds that can be trained without a model version that is still to be made:
one round with a synchronous clock, often several with an asynchronous one. The test of a round's
model is part of the next assignment, so that it fills the time in which executors finish training.
The last assignment has tests only.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from functools import partial

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.errors import Diverged, InputError, Interrupted, TrainingError, at
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.privacy.privacy import PrivateRound
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.clients.assignment import Assignment, Products, Results, Stage
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.masking import summed
from mpifl.rounds.clients.recording import remove_recorded
from mpifl.rounds.clients.worker import make_worker
from mpifl.rounds.combining import combine
from mpifl.rounds.contributing import judge_of
from mpifl.rounds.experiment.personal_clients import to_test
from mpifl.rounds.plan.asking import releases_empty
from mpifl.rounds.plan.plan import Plan, is_released
from mpifl.rounds.plan.round_result import CLIENT_TEST, METRIC, Judged
from mpifl.rounds.plan.snapshot import NOBODY, Waiting
from mpifl.rounds.protocol import (
    aggregator_receive_results,
    aggregator_send_assignment,
    aggregator_send_end,
    aggregator_serve_tickets,
)
from mpifl.rounds.server.evaluation import tested_rounds
from mpifl.rounds.server.learning import learned
from mpifl.rounds.server.planning import (
    forget_kept,
    next_assignment,
    plan_round,
    plans_ahead,
    versions_for,
)
from mpifl.rounds.server.privatising import spend
from mpifl.rounds.server.server import Server, keep_version, make_snapshot
from mpifl.rounds.server.server_step import next_state
from mpifl.rounds.tickets import ticket_costs, work_on
from mpifl.stopwatch import Stopwatch

LOG = logging.getLogger(__name__)


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
    server.store = store
    forget_kept(server)

    if callbacks.met():
        server.last_round = server.rounds_done
    while server.plans or server.rounds_done < server.last_round or server.untested:
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
            if experiment.needs_updates and assignment.combined:
                with watch("reduce"):
                    judge = judge_of(world, experiment, assignment.first_round)
                    combine(world, experiment, assignment.tasks, {}, None, results, judge)

        with watch("reduce"):
            rows = aggregator_receive_results(world, results, rows)
        metrics = _take_results(server, assignment, results, rows)
        if _ended_by_test(server, callbacks, watch):
            remove_recorded(store.run, assignment.tasks)
        else:
            _end_rounds(server, metrics, results)
        del results  # its memory is that of the next
        if _save_and_stop(server, callbacks, watch):
            break

    _report_rounds(server, callbacks, watch)
    aggregator_send_end(world)
    if server.rounds_done < server.last_round or server.untested:
        over = server.rounds_done
        raise Interrupted(f"stopped after round {over}, with a checkpoint", over)


# While executors train


def _meanwhile(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """Report the rounds that are over, and plan the round after the assignment under way.

    Only where nothing that executors do changes that plan. An error in it is raised when its turn
    comes.
    """
    round_number = server.rounds_done + len(server.plans) + 1
    with watch.meanwhile():
        _report_rounds(server, callbacks, watch)
        if server.ahead is None and round_number <= server.last_round and plans_ahead(server):
            with contextlib.suppress(InputError, TrainingError):
                server.ahead = plan_round(server, round_number, watch)


def _report_rounds(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> None:
    """Call ``callbacks.ended_round`` for the rounds that are over and tested."""
    with watch("writing"):
        while server.unwritten:
            callbacks.ended_round(server.unwritten.pop(0))


# After training: the server's step


def _take_results(
    server: Server, assignment: Assignment, results: Results, rows: np.ndarray | None
) -> np.ndarray:
    """Note probes and tests of all ranks; return the metrics of ``_metrics``."""
    experiment = server.experiment
    if server.probe is not None:
        server.probe = (server.probe[0], results.probe_losses())
    metrics = _metrics(server, assignment, results)
    server.unwritten += tested_rounds(experiment, server.untested, assignment, results, rows)
    server.untested.clear()
    return metrics


def _ended_by_test(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> bool:
    """Return whether the tests that have come end the run: its job's ``stop`` is met.

    Then the last round is the one that was tested. Whatever was trained since is let go, so that
    the server is as that round left it.
    """
    if server.experiment.job.stop.metric is None:
        return False
    _report_rounds(server, callbacks, watch)
    if not callbacks.met():
        return False

    server.last_round = server.rounds_done
    server.plans = []
    server.clock = server.clock_done
    server.ahead = None
    server.probe = None
    server.unsettled = None
    server.kept.clear()
    return True


def _end_rounds(server: Server, metrics: np.ndarray, results: Results) -> None:
    """Take the server's steps of an assignment. Nothing here can fail because a rank is lost."""
    experiment = server.experiment
    plans = server.plans
    server.plans = []
    for index, plan in enumerate(plans):
        with at(f"round {plan.round_number}"):
            round_metrics = metrics[metrics["round"] == plan.round_number]
            round_metrics = round_metrics[np.argsort(round_metrics["client"])]
            trained = round_metrics["client"][round_metrics["failed"] == 0]
            if experiment.job.exchange.delta:
                server.held.note(trained)
            server.note_kept(trained, plan.round_number)
            private = spend(experiment, server.participations, plan, server.state)
            sums = summed(experiment, plan, results, index)
            stopped = _step(server, plan, round_metrics, sums, results.products)
            server.learned = learned(experiment, server.learned, plan, round_metrics)
            judged = Judged(*results.judged.tolist())
            _end_round(server, plan, round_metrics, stopped, private, judged)


def _metrics(server: Server, assignment: Assignment, results: Results) -> np.ndarray:
    """Return the metrics (structured METRIC) of the rounds that end with an assignment.

    Those of a round that is settled later are kept until it ends.
    """
    metrics = results.metrics(assignment)
    if assignment.stage == Stage.WHOLE:
        return metrics

    if assignment.stage == Stage.TRAIN:
        server.kept.update(zip(metrics["client"].tolist(), metrics.copy(), strict=True))
        return metrics
    server.unsettled = None
    by_client = np.argsort(assignment.tasks["client"])
    clients = assignment.tasks["client"][by_client].tolist()
    kept = np.array([server.kept.pop(client) for client in clients], METRIC)
    kept["round"] = assignment.first_round
    kept["rejected"] = results.rejected[by_client]
    kept["contribution"] = results.contributions[by_client]
    return kept


def _step(
    server: Server, plan: Plan, metrics: np.ndarray, round_sum: RoundSum, products: Products
) -> bool:
    """Take the server's step of the algorithm; a round that nobody completed leaves the state.

    But for one that was drawn empty, where a model without noise would tell that.
    So does a step to numbers that are not finite, where the job goes on then. Returns whether that
    was so.
    """
    job = server.experiment.job
    if not is_released(job, plan):
        return False

    stopped = False
    if releases_empty(job) or not metrics["failed"].all():
        try:
            server.state = next_state(
                server.experiment,
                server.state,
                plan,
                metrics,
                round_sum,
                products,
                server.noise,
                server.read_others(),
            )
        except Diverged as error:
            if not server.experiment.survives_divergence:
                raise
            LOG.warning("round %d: the model stays as it is: %s", plan.round_number, error)
            stopped = True
        server.contract.check()
    server.version += 1  # as the clock has counted
    keep_version(server)
    return stopped


def _end_round(
    server: Server,
    plan: Plan,
    metrics: np.ndarray,
    stopped: bool,
    private: PrivateRound,
    judged: Judged,
) -> None:
    """Count a round as done; its result waits for the test of its model, if one is due."""
    job = server.experiment.job
    server.rounds_done = plan.round_number
    server.clock_done = plan.after
    found = job.algorithm.found(server.state)
    waiting = Waiting(plan, metrics, None, NOBODY, stopped, private, judged, found)
    due = job.evaluation.due(plan.round_number) or plan.round_number == server.last_round
    if due and job.algorithm.trains:
        clients = server.experiment.personal_clients
        personal = to_test(clients, server.version, plan.round_number, server.state_rounds)
        waiting = replace(waiting, version=server.version, personal=personal)
    server.untested.append(waiting)


def _save_and_stop(server: Server, callbacks: RunCallbacks, watch: Stopwatch) -> bool:
    """Save a snapshot when one is due; return whether the run is to end early.

    One is due after the last round, before its test: from it the run can be extended.
    """
    stopped = callbacks.stop()
    last = server.rounds_done == server.last_round
    if stopped or callbacks.checkpoints.due(server.rounds_done, last):
        _report_rounds(server, callbacks, watch)
        with watch("writing"):
            callbacks.checkpoints.save(make_snapshot(server))
    return stopped
