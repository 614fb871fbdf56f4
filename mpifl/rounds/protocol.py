"""Every message between the aggregator (rank 0) and the executors (the others), both directions.

In the order of a run::

    start        aggregator -> all       the resolved job, its data, the run directory
    report       all -> aggregator       processor, libraries and model of each rank
    assignment   aggregator -> all       one round or several: tasks, tests, model versions
    tickets      executor <-> aggregator which executor takes which group of tasks or test
    results      all -> aggregator       sums of updates, losses, tests
    end          aggregator -> all       an assignment without rounds
    time spent   all -> aggregator       where each rank's wall time went

Functions come in pairs, one for each side. All but the tickets are collective: every rank calls its
function, in this order. Alone, rank 0 is both sides, and the functions of the aggregator do.
``mpifl/mpi`` has the transport (World, Queue); every call raises RankLost when a rank has died.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.rounds.clients.assignment import ROSTER, Assignment, Results, Stage, Versions, keep_only
from mpifl.rounds.plan.plan import TASK
from mpifl.rounds.plan.round_result import PERSONAL
from mpifl.rounds.plan.snapshot import STATE_ROUND

HEADER_FIELDS = (
    "first_round",
    "rounds",
    "stage",
    "tasks",
    "tests",
    "personal",
    "probes",
    "versions",
    "fresh",
    "oldest",
    "kept",
    "roster",
    "others",
)
HEADER = np.dtype([(name, "<i8") for name in HEADER_FIELDS])


# Start


def aggregator_send_start(world: World, start: Mapping[str, Any]) -> None:
    """Send what the other ranks need in order to take part (JSON)."""
    world.broadcast_text(json.dumps(start))


def executor_receive_start(world: World) -> dict[str, Any]:
    """Return what ``aggregator_send_start`` has sent."""
    start: dict[str, Any] = json.loads(world.broadcast_text(None))
    return start


# Rank reports


def executor_send_report(world: World, report: Mapping[str, Any]) -> None:
    """Send this rank's report (``mpifl/cluster/rank_report.py``)."""
    world.gather_texts(json.dumps(report))


def aggregator_receive_reports(world: World, own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the reports of all ranks, in the order of the ranks."""
    return [json.loads(text) for text in world.gather_texts(json.dumps(own))]


# Assignments


def aggregator_send_assignment(
    world: World, assignment: Assignment, versions: np.ndarray, fresh: Versions
) -> None:
    """Send an assignment and the model versions that executors do not have.

    Args:
        world: The ranks.
        assignment: What is to be trained and tested.
        versions: Numbers (int64) of the versions that executors keep; they let go of all others.
        fresh: The versions that are new, by number.
    """
    counts = (
        assignment.first_round,
        assignment.rounds,
        assignment.stage,
        len(assignment.tasks),
        len(assignment.tests),
        len(assignment.personal),
        len(assignment.probes),
        len(versions),
        len(fresh),
        assignment.oldest,
        len(assignment.kept),
        len(assignment.roster),
        len(assignment.others),
    )
    lists = (
        assignment.tasks,
        assignment.tests,
        assignment.personal,
        assignment.probes,
        versions,
        np.array(list(fresh), np.int64),
        assignment.kept,
        assignment.roster,
        assignment.others,
    )
    arrays = [array for version in fresh.values() for array in version.values()]

    packed = np.concatenate([array.view(np.uint8) for array in lists])
    world.broadcast(np.array([counts], HEADER), packed, *arrays)


def aggregator_send_end(world: World) -> None:
    """Send that there are no more assignments."""
    world.broadcast(np.zeros(1, HEADER))


def executor_receive_assignment(
    world: World, versions: Versions, shapes: Mapping[str, tuple[int, ...]]
) -> Assignment | None:
    """Return the next assignment, None at the end; bring ``versions`` up to date, in place.

    ``shapes`` are those of a version's arrays, by name.
    """
    header = np.zeros(1, HEADER)
    with world.watch("idle"):  # while rank 0 plans and steps
        world.broadcast(header)
    counts = {name: int(header[0][name]) for name in HEADER_FIELDS}
    if counts["first_round"] == 0:
        return None

    number = np.dtype(np.int64)
    types = {
        "tasks": TASK,
        "tests": number,
        "personal": PERSONAL,
        "probes": number,
        "versions": number,
        "fresh": number,
        "kept": number,
        "roster": ROSTER,
        "others": STATE_ROUND,
    }
    ends = np.cumsum([counts[name] * kind.itemsize for name, kind in types.items()])
    packed = np.empty(int(ends[-1]), np.uint8)
    arrays = [
        {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        for _ in range(counts["fresh"])
    ]
    world.broadcast(packed, *itertools.chain(*(version.values() for version in arrays)))

    pieces = zip(np.split(packed, ends[:-1]), types.values(), strict=True)
    tasks, tests, personal, probes, numbers, fresh, kept, roster, others = (
        piece.view(kind) for piece, kind in pieces
    )
    keep_only(versions, numbers)
    versions.update(zip(fresh.tolist(), arrays, strict=True))
    first_round = counts["first_round"]
    return Assignment(
        first_round=first_round,
        rounds=counts["rounds"],
        tasks=tasks,
        tests=tests,
        personal=personal,
        probes=probes,
        oldest=counts["oldest"],
        kept=kept,
        stage=Stage(counts["stage"]),
        roster=roster,
        others=others,
    )


# Tickets


def aggregator_serve_tickets(
    queue: Queue, costs: np.ndarray, meanwhile: Callable[[], None]
) -> None:
    """Hand out tickets until every executor is done; call ``meanwhile`` once, when nobody asks.

    ``costs`` (tickets,) is what each is expected to take, the same on every rank.
    """
    queue.serve(costs, meanwhile)


def executor_take_tickets(queue: Queue, costs: np.ndarray) -> Iterator[int]:
    """Yield this rank's tickets, counted from 0, until there are none left; alone: all of them."""
    return queue.tickets(costs)


# Results


def executor_send_results(world: World, results: Results, rows: np.ndarray | None) -> None:
    """Send this rank's results, and its ``rows`` (CLIENT_TEST) where single clients are tested."""
    _add_up(world, results, rows)


def aggregator_receive_results(
    world: World, results: Results, rows: np.ndarray | None
) -> np.ndarray | None:
    """Add the results of all ranks to rank 0's, in place; return the rows of all ranks.

    ``rows`` (CLIENT_TEST) are rank 0's own, None on every rank where no single clients are tested.
    """
    return _add_up(world, results, rows)


def _add_up(world: World, results: Results, rows: np.ndarray | None) -> np.ndarray | None:
    world.sum_to_root(results.whole)
    return None if rows is None else world.gather_rows(rows)


# Time spent


def executor_send_time_spent(world: World) -> None:
    """Send where this rank's wall time went."""
    world.gather_rows(world.watch.spent())


def aggregator_receive_time_spent(world: World) -> np.ndarray:
    """Return where each rank's wall time went (structured SPENT), in the order of the ranks."""
    return world.gather_rows(world.watch.spent())
