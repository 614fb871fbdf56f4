"""What rank 0 assigns next: rounds to train, a probe before a round, or what was kept to count."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mpifl.errors import at
from mpifl.rounds.clients.assignment import ROSTER, Assignment, Stage, Versions, keep_only
from mpifl.rounds.clients.masking import roster_of
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK, Plan, largest_first, make_plan
from mpifl.rounds.plan.probe import Probed, plan_probe
from mpifl.rounds.plan.round_result import PERSONAL
from mpifl.rounds.server.server import Server, needed_versions
from mpifl.rounds.server.settling import ask_round, let_go, plan_settled
from mpifl.stopwatch import Stopwatch

NO_ROSTER = np.empty(0, ROSTER)

ASSIGNMENT_ROUNDS = 64
"""The most rounds of an assignment."""

ASSIGNMENT_BYTES = 1 << 28
"""The most memory of one rank's running sums, which bounds the rounds of an assignment."""


def next_assignment(server: Server, oldest: int, watch: Stopwatch) -> Assignment:
    """Return the next assignment; the same one again where the last did not come to its end.

    Args:
        server: Its ``plans``, ``probe`` or ``unsettled`` are set to what is assigned.
        oldest: The round of the oldest checkpoint.
        watch: Counts the time of selection and clock.
    """
    waits = (server.probe is not None and server.probe[1] is None) or awaits_training(server)
    if not (server.plans or waits or server.rounds_done == server.last_round):
        _prepare(server, watch)
    return _assignment(server, oldest)


def plans_ahead(server: Server) -> bool:
    """Return whether a round can be planned while the one before it is trained."""
    job = server.experiment.job
    awaited = job.clock.costs == "measured" or job.exchange.delta
    return not (job.selection.learns or job.selection.probes or awaited)


def plan_round(server: Server, round_number: int, watch: Stopwatch) -> Plan:
    """Return the plan of a round, its tasks in the order in which executors take them."""
    experiment = server.experiment
    with at(f"round {round_number}"):
        plan = make_plan(
            experiment.job,
            experiment.population,
            server.workload,
            round_number,
            server.clock,
            server.learned,
            watch,
            _probed(server),
        )
    return replace(plan, tasks=largest_first(plan.tasks, experiment.stack))


def awaits_training(server: Server) -> bool:
    """Return whether a round goes on only when participants have been trained."""
    unsettled = server.unsettled
    return unsettled is not None and any(
        client not in server.kept for client in unsettled.asked["client"].tolist()
    )


def forget_kept(server: Server) -> None:
    """Go back to before a round was asked for: with a rank, the updates that it kept are lost."""
    server.kept.clear()
    unsettled = server.unsettled
    if unsettled is not None:
        server.plans = []
        server.clock = unsettled.before
        server.unsettled = None
        server.probe = unsettled.probed


def versions_for(server: Server, assignment: Assignment) -> tuple[np.ndarray, Versions]:
    """Return the numbers of the versions that executors keep, and those versions that they lack.

    Kept are those that the assignment's tasks train from, and those that are needed after it.
    """
    kept = needed_versions(server, assignment.tasks["base"])
    keep_only(server.versions, kept)

    fresh = {number: server.versions[number] for number in kept.tolist() if number in server.unsent}
    server.unsent.clear()
    return kept, fresh


def _prepare(server: Server, watch: Stopwatch) -> None:
    """Set what is assigned next: a probe, a round that is settled afterwards, or plans."""
    experiment = server.experiment
    job = experiment.job
    round_number = server.rounds_done + 1
    if server.unsettled is not None:
        with at(f"round {round_number}"), watch("clock"):
            server.unsettled.go_on()
        _settle(server, watch)
    elif job.selection.probes and server.probe is None:
        with at(f"round {round_number}"):
            probe = plan_probe(
                job,
                experiment.population,
                server.workload,
                round_number,
                server.clock,
                server.learned,
                watch,
            )
        server.probe = (probe, None)
    elif job.clock.costs == "measured":
        with at(f"round {round_number}"):
            server.unsettled = ask_round(
                experiment,
                server.workload,
                round_number,
                server.clock,
                server.learned,
                watch,
                _probed(server),
                server.kept,
            )
        server.probe = None
        _settle(server, watch)
    else:
        server.plans = _next_plans(server, watch)
        server.probe = None


def _settle(server: Server, watch: Stopwatch) -> None:
    """Set the plan of a round whose participants were trained, once it is settled.

    Forgets the updates, of those who were asked before, that are not needed any more.
    """
    unsettled = server.unsettled
    assert unsettled is not None
    for client in unsettled.asked["client"].tolist():
        server.kept.pop(client, None)
    if unsettled.settled is None:
        return
    with at(f"round {unsettled.round_number}"), watch("clock"):
        plan = plan_settled(server.experiment, unsettled)
    let_go(server.kept, plan)
    server.plans = [plan]
    server.clock = plan.after
    server.note_time(plan)


def _next_plans(server: Server, watch: Stopwatch) -> list[Plan]:
    """Return the plans of the next rounds whose base versions are known: at least one.

    A round whose test may end the run is the last of them, so that its state is still there then.
    """
    experiment = server.experiment
    job = experiment.job
    entries = sum(math.prod(shape) for shape in experiment.sums.shapes(1))
    max_rounds = max(1, min(ASSIGNMENT_ROUNDS, ASSIGNMENT_BYTES // (8 * max(1, entries))))

    plans: list[Plan] = []
    while len(plans) < max_rounds and server.rounds_done + len(plans) < server.last_round:
        plan = server.ahead or plan_round(server, server.rounds_done + len(plans) + 1, watch)
        if plans and len(plan.tasks) and plan.tasks["base"].max() > server.version:
            server.ahead = plan
            break

        plans.append(plan)
        server.ahead = None
        server.clock = plan.after
        server.note_time(plan)
        awaited = job.stop.metric is not None and job.evaluation.due(plan.round_number)
        one_at_a_time = job.selection.learns or experiment.needs_updates
        if awaited or not job.clock.asynchronous or one_at_a_time:
            break
    return plans


def _probed(server: Server) -> Probed | None:
    """Return the probe of the next round with its answers, if it has one."""
    if server.probe is None:
        return None
    probe, losses = server.probe
    assert losses is not None
    return probe, losses


def _assignment(server: Server, oldest: int) -> Assignment:
    """Return the assignment of what was prepared, and of the tests that are due."""
    tests = {waiting.version for waiting in server.untested if waiting.version is not None}
    stage, tasks = _tasks(server)
    tasks["state_round"] = [
        server.state_rounds.get(client, 0) for client in tasks["client"].tolist()
    ]
    if server.experiment.job.attacks:
        tasks["attacks"] = server.experiment.attackers.marks(tasks["client"], tasks["began"])

    personal = [waiting.personal for waiting in server.untested if len(waiting.personal)]
    # What clients kept after those rounds is read once more.
    oldest = min([oldest, *(int(rows["round"][0]) for rows in personal)])
    _, first = np.unique([int(rows["version"][0]) for rows in personal], return_index=True)
    tested = np.concatenate([np.empty(0, PERSONAL), *(personal[i] for i in first)])
    for rows in (tasks, tested):
        rows["kind"] = kinds_of(server.experiment, rows["client"])
    return Assignment(
        first_round=server.rounds_done + 1,
        rounds=len(server.plans),
        tasks=tasks,
        tests=np.array(sorted(tests), np.int64),
        personal=tested,
        probes=np.empty(0, np.int64) if server.probe is None else server.probe[0].clients,
        oldest=oldest,
        kept=np.array(sorted(server.kept), np.int64),
        stage=stage,
        roster=roster_of(server.experiment, server.plans[0]) if server.plans else NO_ROSTER,
        others=server.others,
    )


def kinds_of(experiment: Experiment, clients: np.ndarray) -> np.ndarray:
    """Return what the algorithm takes each of some clients (int64) for, int64."""
    algorithm = experiment.job.algorithm
    if algorithm.kinds == 1 or not len(clients):
        return np.zeros(len(clients), np.int64)
    return algorithm.kinds_of(np.ascontiguousarray(clients), experiment.population)


def _tasks(server: Server) -> tuple[Stage, np.ndarray]:
    """Return what is done with the tasks of the next assignment, and these (structured TASK)."""
    stack = server.experiment.stack
    unsettled = server.unsettled
    if awaits_training(server):
        assert unsettled is not None
        return Stage.TRAIN, largest_first(unsettled.tasks, stack)
    if unsettled is not None:
        return Stage.COUNT, server.plans[0].tasks

    tasks = np.concatenate([np.empty(0, TASK), *(plan.tasks for plan in server.plans)])
    if len(server.plans) > 1:  # the tasks of one plan are in order already
        tasks = largest_first(tasks, stack)
    return Stage.WHOLE, tasks
