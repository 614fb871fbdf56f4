"""When actors compute and transfer: the clock of their phones and links."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mpifl.clock.cost import NOTHING, Cost
from mpifl.clock.kernels.actors import time_of_transfer, time_of_work, time_online
from mpifl.clock.kernels.latency import AVAILABILITY, Rates
from mpifl.clock.kernels.transfer import DOWN, UP, Load
from mpifl.clock.latency import Latency
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.messages.letter import Letter
from mpifl.population.population import Population
from mpifl.protocols.actor import Event
from mpifl.protocols.protocol import Protocol


class Span(NamedTuple):
    """From when to when something takes, and whether it is done by then.

    ``begin`` and ``end`` are virtual seconds, infinity for never. ``seconds`` is what it takes when
    undisturbed. ``carried`` are the bytes that a transfer has carried by its end.
    """

    begin: float
    end: float
    seconds: float
    done: bool
    carried: int = 0


NO_SPAN = Span(0.0, 0.0, 0.0, True)


@dataclass(frozen=True)
class Links:
    """The phones of the clients and the links of the servers.

    Attributes:
        population: The clients.
        protocol: Has the speeds of the servers' links.
        setting: The protocol's setting.
        workload: What training costs.
        rule: The availability rule as the kernels know it.
        rates: What seconds depend on besides.
        latency: The job's keys of links.
        start: The second of the trace at which the run begins.
        seed: The job's seed.
    """

    population: Population
    protocol: Protocol
    setting: Any
    workload: Workload
    rule: int
    rates: Rates
    latency: Latency
    start: float
    seed: int

    def is_client(self, actor: int) -> bool:
        """Return whether an actor is a client, not a server."""
        return actor < self.population.clients

    def work(self, actor: int, event: Event, now: float) -> Span:
        """Return when an actor that is free from ``now`` on computes the handler of an event."""
        if not self.is_client(actor):
            seconds = self.protocol.server_seconds(actor, event, self.setting)
            return Span(now, now + seconds, seconds, True)

        cost = self.protocol.costed(actor, event, self.setting)
        phones = self.population.phones
        if cost is NOTHING and phones.always_online:
            return Span(now, now, 0.0, True)
        samples = self._costed(actor, cost)
        if samples:
            samples /= self._factors(actor, event.round, now)[0]
        return Span(*time_of_work(phones, self.rule, actor, samples, self.rates, now))

    def samples(self, client: int, steps: int) -> int:
        """Return the samples that so many local steps of a client go through."""
        held = self.population.samples(np.array([client]))
        return int(self.workload.processed(held, np.array([steps]))[0])

    def _costed(self, client: int, cost: Cost) -> float:
        """Return the training samples that cost as much as ``cost``."""
        if cost is NOTHING:
            return 0.0
        clients = np.array([client])
        held = self.population.samples(clients)
        steps = self.workload.steps(held)
        processed = self.workload.processed(held, steps)
        work = replace(self.workload, cost=cost)
        return float(work.costed(clients, held, processed, steps)[0])

    def _factors(self, client: int, round_number: int, now: float) -> tuple[float, float]:
        """Return by how much a client computes and transfers faster in a round of messages.

        For something that it begins when it is next online from ``now`` on.
        """
        variation, background = self.latency.variation, self.latency.background
        compute = bandwidth = 1.0
        draw = self.protocol.job_round(round_number, self.setting)
        if variation.varies:
            drawn = variation.factors(self.seed, draw, np.array([client]))
            compute, bandwidth = float(drawn[0][0]), float(drawn[1][0])
        if background.varies:
            begin = time_online(self.population.phones, client, now)
            if begin < math.inf:
                second = self.start + begin
                drawn = background.factors(self.seed, draw, np.array([client]), second)
                compute *= float(drawn[0][0])
                bandwidth *= float(drawn[1][0])
        return compute, bandwidth

    def load(self, letter: Letter, direction: int, now: float) -> Load:
        """Return what a message that waits from ``now`` on carries over a client's link."""
        latency = self.latency
        connects = self.rates.round_trip_seconds
        size, wait = latency.retry.of_message(
            self.seed, letter.sender, letter.number, direction, letter.size, connects
        )
        factor = self._factors(carrier_of(letter, direction), letter.round, now)[1]
        if direction == DOWN:
            return Load(size, 0, factor, wait, 0.0)
        return Load(0, size, factor, 0.0, wait)

    def transfer(self, letter: Letter, direction: int, load: Load, now: float) -> Span:
        """Return when a client's link, free from ``now`` on, carries a message, undisturbed."""
        client = carrier_of(letter, direction)
        phones = self.population.phones
        begin, end, seconds, done = time_of_transfer(
            phones, self.rule, client, direction, load, self.rates, now
        )
        carried = load.down + load.up
        if not done and seconds > 0:
            carried = int(carried * min(1.0, (end - begin) / seconds))
        return Span(begin, end, seconds, done, carried)

    def server_transfer(self, letter: Letter, direction: int, now: float) -> Span:
        """Return when a server's link, free from ``now`` on, carries a message."""
        ends = letter.sender, letter.to
        server, peer = ends if direction == UP else ends[::-1]
        kbps = self.protocol.server_kbps(server, peer, self.setting)
        seconds = 0.0 if kbps == math.inf else letter.size * 8 / (self.rates.bits_per_kbit * kbps)
        return Span(now, now + seconds, seconds, True, letter.size)

    def shared(self, letter: Letter, direction: int) -> int | None:
        """Return the bandwidth that a client's transfer shares: a server's or cell's number.

        None for none. A transfer between two clients is on no server's link.
        """
        latency = self.latency
        client = carrier_of(letter, direction)
        if latency.cells.shared:
            return int(latency.cells.of(np.array([client]), self.seed)[0])
        peer = letter.sender if direction == DOWN else letter.to
        if self.is_client(peer) or self.shared_kbps[direction] is None:
            return None
        return peer - self.population.clients

    @property
    def shared_kbps(self) -> tuple[float | None, float | None]:
        """What the downloads, and the uploads, that share a link have together; None: no limit."""
        latency = self.latency
        if latency.cells.shared:
            return latency.cells.down_kbps, latency.cells.up_kbps
        return latency.server_down_kbps, latency.server_up_kbps

    def handling_seconds(self, letter: Letter) -> float:
        """Return what a server takes to handle a message of a client, one after the other."""
        from_client = self.is_client(letter.sender) and not self.is_client(letter.to)
        return self.latency.update_seconds if from_client else 0.0

    def record_round(self, round_number: int, rounds_done: int) -> int:
        """Return the round of the job that a round of the protocol belongs to in the record."""
        if self.protocol.asynchronous:
            return rounds_done + 1
        return self.protocol.job_round(round_number, self.setting)


def carrier_of(letter: Letter, direction: int) -> int:
    """Return the actor whose link a message goes over: its sender's up, or its receiver's down."""
    return letter.to if direction == DOWN else letter.sender


def links_of(job: Job, population: Population, workload: Workload, setting: Any) -> Links:
    """Return the links of a job's actors."""
    latency = job.clock.latency
    after = math.inf if latency.throttled_after is None else latency.throttled_after
    rates = Rates(
        workload.inferences_per_sample,
        workload.bits_per_kbit,
        latency.round_trip_ms / 1000,
        after,
        latency.throttled_speed,
    )
    rule = AVAILABILITY[job.clock.availability]
    start = job.clock.start
    return Links(population, job.protocol, setting, workload, rule, rates, latency, start, job.seed)
