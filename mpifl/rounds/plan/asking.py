"""What a round policy is asked for; what the selection rule sees, and the check of its answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpifl.clock.online import NOBODY
from mpifl.clock.orders import Orders
from mpifl.clock.timeline import CHARGE, Call
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.selection.checked import checked
from mpifl.selection.checked_orders import checked_orders
from mpifl.selection.context import NOT_PROBED, SelectionContext
from mpifl.selection.feedback import State
from mpifl.stopwatch import Stopwatch

NO_CHARGES = np.empty(0, CHARGE)


def releases_empty(job: Job) -> bool:
    """Return whether a round that asks nobody has a model of its own: that of the server's noise.

    Where chance decides who takes part, a model without noise would tell that nobody did.
    """
    return job.selection.varies and job.privacy.central


def call_for(
    job: Job,
    population: Population,
    workload: Workload,
    round_number: int,
    learned: State,
    watch: Stopwatch,
    answer: Callable[[SelectionContext], np.ndarray],
    *,
    orders: bool = False,
    charged: Workload | None = None,
    most: int | None = None,
    probed: np.ndarray = NOT_PROBED,
    holders: np.ndarray = NOBODY,
    charges: np.ndarray = NO_CHARGES,
) -> Call:
    """Return what the round policy is asked for.

    Args:
        job: Has the selection rule and the clock.
        population: The clients.
        workload: What the round costs a participant.
        round_number: From 1 on.
        learned: What the selection rule has learned.
        watch: Counts the time of the selection rule.
        answer: The method of the rule that names clients.
        orders: Whether the rule is asked what they are to do, if it says so.
        charged: What those named are charged; default: ``workload``.
        most: The most clients that it may name; default: as many as are wanted.
        probed: What candidates have told (structured PROBED).
        holders: Clients (int64) that have what participants download.
        charges: The batteries of those who took part before (structured CHARGE).
    """
    rule = job.selection

    def context(now: float, wanted: int, draw: int, busy: np.ndarray) -> SelectionContext:
        def launch(clients: np.ndarray, orders: Orders | None = None) -> np.ndarray:
            some = np.ascontiguousarray(clients, np.int64)
            return job.clock.launch(call, some, now, 0, orders=orders)

        return SelectionContext(
            population=population,
            workload=workload,
            launch=launch,
            seed=job.seed,
            round=round_number,
            draw=draw,
            now=now,
            wanted=wanted,
            busy=busy,
            state=learned,
            probed=probed,
        )

    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        with watch("selection"):
            limit = population.clients if rule.varies else wanted
            limit = limit if most is None else most
            chosen = answer(context(now, wanted, draw, busy))
            return checked(rule.name, chosen, population, now, limit, busy)

    def order(clients: np.ndarray, now: float, draw: int) -> Orders:
        with watch("selection"):
            given = rule.orders(context(now, len(clients), draw, NOBODY), clients)
            return checked_orders(
                rule.name,
                given,
                len(clients),
                steps=rule.orders_steps,
                uploads=rule.orders_uploads,
            )

    updates = job.clock.updates(rule.participants)
    # ``choose`` looks at it too.
    call = Call(
        participants=updates,
        choose=choose,
        population=population,
        workload=charged or workload,
        seed=job.seed,
        round=round_number,
        holders=holders,
        charges=charges,
        may_be_empty=rule.varies,
        releases_empty=releases_empty(job),
        order=order if orders and (rule.orders_steps or rule.orders_uploads) else None,
    )
    return call
