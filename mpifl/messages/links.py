"""When actors compute and transfer: the clock of their phones and links."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mpifl.clock.cost import NOTHING, Cost
from mpifl.clock.kernels.actors import time_of_transfer, time_of_work
from mpifl.clock.kernels.latency import AVAILABILITY, Rates
from mpifl.clock.kernels.transfer import DOWN, UP
from mpifl.clock.variation import Variation
from mpifl.clock.workload import Workload
from mpifl.job import Job
from mpifl.messages.letter import Letter
from mpifl.population.population import Population
from mpifl.protocols.actor import Event
from mpifl.protocols.protocol import Protocol


class Span(NamedTuple):
    """From when to when something takes, and whether it is done by then.

    ``begin`` and ``end`` are virtual seconds, infinity for never. ``seconds`` is what it takes when
    undisturbed.
    """

    begin: float
    end: float
    seconds: float
    done: bool

    def share_of(self, size: int) -> int:
        """Return how many of ``size`` bytes were carried: all, or a share where it broke off."""
        if self.done or self.seconds <= 0:
            return size
        return int(size * min(1.0, (self.end - self.begin) / self.seconds))


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
        variation: How speeds differ from one round of the job to the next.
        seed: The job's seed.
    """

    population: Population
    protocol: Protocol
    setting: Any
    workload: Workload
    rule: int
    rates: Rates
    variation: Variation
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
            samples /= self._factors(actor, event.round)[0]
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

    def _factors(self, client: int, round_number: int) -> tuple[float, float]:
        """Return by how much a client computes and transfers faster in a round of messages."""
        if not self.variation.varies:
            return 1.0, 1.0
        draw = self.protocol.job_round(round_number, self.setting)
        compute, bandwidth = self.variation.factors(self.seed, draw, np.array([client]))
        return float(compute[0]), float(bandwidth[0])

    def upload(self, letter: Letter, now: float) -> Span:
        """Return when a message that waits for its sender's link from ``now`` on is sent."""
        return self._transfer(letter.sender, letter.to, UP, letter, now)

    def download(self, letter: Letter, now: float) -> Span:
        """Return when a message that waits for its receiver's link from ``now`` on is there."""
        return self._transfer(letter.to, letter.sender, DOWN, letter, now)

    def _transfer(self, actor: int, peer: int, direction: int, letter: Letter, now: float) -> Span:
        size = letter.size
        if not self.is_client(actor):
            kbps = self.protocol.server_kbps(actor, peer, self.setting)
            seconds = 0.0 if kbps == math.inf else size * 8 / (self.rates.bits_per_kbit * kbps)
            return Span(now, now + seconds, seconds, True)
        phones = self.population.phones
        factor = self._factors(actor, letter.round)[1]
        return Span(
            *time_of_transfer(phones, self.rule, actor, direction, size, factor, self.rates, now)
        )


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
    return Links(
        population, job.protocol, setting, workload, rule, rates, latency.variation, job.seed
    )
