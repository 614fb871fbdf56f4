"""Whether enough clients can ever finish a round, at any time of the trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from mpifl.clock.kernels.latency import how_many_can_finish
from mpifl.clock.kernels.transfer import Loads
from mpifl.clock.latency import Latency, rates
from mpifl.clock.timeline import Call
from mpifl.errors import InputError, counted

CHUNK_CLIENTS = 1 << 20


class Timing(Protocol):
    """What is asked of a round policy."""

    @property
    def latency(self) -> Latency:
        """The keys of ``clock.latency``."""

    @property
    def rule(self) -> int:
        """The availability rule as the number that the kernels use."""

    def least_work(self, call: Call, clients: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the least that clients have to do for an update that counts."""


def can_finish(policy: Timing, call: Call, needed: int) -> bool:
    """Return whether ``needed`` clients can ever finish a round.

    Looks at one client after the other until enough are found. Where speeds vary, they are taken to
    be as high as they hardly ever are. The answer does not depend on the time: once it is yes, it
    is looked up.

    Args:
        policy: Says how a participant is timed, and the least that it has to do.
        call: What the round is asked for.
        needed: How many clients have to be able to finish.
    """
    population = call.population
    call = replace(call, workload=call.workload.of_anybody)
    confirmed = population.notes.setdefault("can finish", set())
    question = (policy, call.workload, needed, call.order is None)
    if question in confirmed:
        return True

    latency = policy.latency
    server = np.array(latency.limits)
    compute, bandwidth = latency.variation.best
    able = 0
    for begin in range(0, population.clients, CHUNK_CLIENTS):
        clients = np.arange(begin, min(begin + CHUNK_CLIENTS, population.clients))
        cost, limit = policy.least_work(call, clients)
        down, up = call.workload.loads(clients)
        if call.order is not None:  # the rule may tell them to send less
            up = np.zeros_like(up)
        able += how_many_can_finish(
            population.phones,
            policy.rule,
            clients,
            cost if compute == 1 else cost / compute,
            Loads(down, up, np.full(len(clients), bandwidth), *np.zeros((2, len(clients)))),
            rates(latency, call),
            server,
            limit,
            needed - able,
        )
        if able == needed:
            confirmed.add(question)
            return True
    return False


def nobody_ever(participants: int) -> InputError:
    """Return the error of a clock that would wait forever for ``participants``."""
    return InputError(
        f"population.trace: none of {counted(participants, 'participant')} under way can ever"
        " finish: the bandwidth of each is 0 whenever it is online (with clock.availability strict"
        " they would drop out)"
    )
