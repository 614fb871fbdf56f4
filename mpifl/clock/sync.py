"""Synchronous rounds with over-commitment: ask more than needed, take the first that finish, cut the rest."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from mpifl.clock.availability import first_online
from mpifl.clock.latency import anyone_can_finish, time_participants
from mpifl.clock.timeline import Choose, Outcome, RoundPolicy, Timeline
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.population.population import Population


class Sync(RoundPolicy):
    """Ask ceil(overcommitment x participants) clients that are online, and end at the N-th that finishes (FedScale's rule).

    A participant must stay online from start to finish; it drops out at the moment it goes offline. When fewer than N
    finish, the round ends when nobody is left to wait for, with the updates there are. When nobody is online the clock
    first moves to the next moment that anyone is.
    """

    mode: Literal["sync"] = "sync"
    overcommitment: float = Field(1.3, ge=1, description="clients asked for each update that is needed")

    def advance(self, now: float, participants: int, choose: Choose, population: Population, workload: Workload) -> Timeline:
        """See RoundPolicy. Raises InputError when nobody can ever finish."""
        # round() first: 1.1 * 10 is 11.000000000000002, and that is not 12 clients.
        wanted = math.ceil(round(self.overcommitment * participants, 9))
        start = now
        clients = choose(start, wanted)
        if not len(clients):
            start = first_online(population.phones, population.clients, now)
            if math.isinf(start):
                raise InputError(f"population.trace: none of the {population.clients} clients is ever online")
            clients = choose(start, wanted)
        steps = workload.steps(population.samples(clients))
        samples = workload.processed(population.samples(clients), steps)
        seconds, finished = time_participants(
            population.phones, clients, samples, workload.bytes_down, workload.bytes_up, start
        )
        down, compute, up, stop = seconds
        order = np.lexsort((clients, stop))
        first = order[finished[order]][:participants]
        if not len(first):
            _check_possible(population, workload)
        end = float(stop[first[-1]] if len(first) == participants else stop.max())
        outcome = np.where(stop <= end, Outcome.DROPPED, Outcome.CUT).astype(np.uint8)
        outcome[first] = Outcome.COMPLETED
        outcome[finished & (outcome == Outcome.DROPPED)] = Outcome.CUT  # finished with the N-th, and came after it
        stop = np.minimum(stop, end)
        return Timeline(
            start_seconds=start,
            end_seconds=end,
            waited_seconds=start - now,
            client=clients,
            outcome=outcome,
            download_seconds=down,
            compute_seconds=compute,
            upload_seconds=up,
            stop_seconds=stop,
            steps=steps,
            samples=samples,
            bytes_down=_sent(workload.bytes_down, stop - start, down, outcome),
            bytes_up=_sent(workload.bytes_up, stop - start - down - compute, up, outcome),
        )


def _sent(size: int, elapsed: np.ndarray, seconds: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Bytes (int64) of a transfer of ``size`` bytes that had ``elapsed`` of its ``seconds``; all of it where completed."""
    share = np.clip(elapsed / seconds, 0.0, 1.0) if size else np.zeros(len(elapsed))
    return np.where(outcome == Outcome.COMPLETED, size, np.floor(size * share)).astype(np.int64)


def _check_possible(population: Population, workload: Workload) -> None:
    """After a round that nobody finished: raise InputError unless somebody can at another time."""
    chunk = 1 << 20
    for begin in range(0, population.clients, chunk):
        clients = np.arange(begin, min(begin + chunk, population.clients))
        samples = population.samples(clients)
        samples = workload.processed(samples, workload.steps(samples))
        if anyone_can_finish(population.phones, clients, samples, workload.bytes_down, workload.bytes_up):
            return
    raise InputError(
        f"population.trace: none of the {population.clients} clients is ever online for long enough to finish a round"
        " (less local work or a smaller model would help)"
    )
