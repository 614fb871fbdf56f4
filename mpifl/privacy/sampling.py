"""How the clients of a round are drawn, and whether that adds to their privacy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpifl.clock.policies.sync import Sync
from mpifl.selection.poisson import Poisson
from mpifl.selection.uniform import Uniform

if TYPE_CHECKING:
    from mpifl.job import Job
    from mpifl.population.population import Population


@dataclass(frozen=True)
class Sampling:
    """The sampling of a round.

    Attributes:
        clients: From how many clients a round's sample is drawn.
        sample: How many are drawn; with ``poisson`` on average.
        poisson: Whether each client is drawn on its own, with probability sample / clients.
        lacks: Why it adds nothing that may be claimed; empty where it does.
    """

    clients: int
    sample: int
    poisson: bool
    lacks: str


def sampling_of(job: Job, population: Population) -> Sampling:
    """Return how the clients of a job's rounds are drawn.

    Sampling adds to privacy only where each round has a uniform sample of a fixed number of all
    clients, or each of them with the same probability, and whether one of them counts does not
    depend on which others are in it.
    """
    clock = job.clock
    updates = clock.updates(job.selection.participants)
    lacks = ""
    if type(job.selection) not in (Uniform, Poisson):
        lacks = f"selection.name {job.selection.name} does not draw uniformly"
    elif clock.asynchronous or clock.mode not in ("sync", "all"):
        lacks = f"with clock.mode {clock.mode} the time decides who takes part"
    elif clock.at_once(updates) != updates:
        lacks = "of those asked, the slower are cut (clock.overcommitment above 1)"
    elif isinstance(clock, Sync) and (clock.timeout_seconds is not None or clock.least_share):
        lacks = "a round may end without some of those asked (clock.timeout_seconds, least_share)"
    elif not population.phones.always_online:
        lacks = (
            "who is online decides who can be asked and who completes (clock.availability"
            f" {clock.availability})"
        )
    elif clock.battery.counted:
        lacks = (
            "a phone that has taken part has less in its battery, and is asked less often"
            " (clock.battery.capacity_joules)"
        )
    elif job.secure_aggregation.active and job.secure_aggregation.timeout_seconds is not None:
        lacks = (
            "a round may end without some of those asked, or fail"
            " (secure_aggregation.timeout_seconds)"
        )
    poisson = type(job.selection) is Poisson
    return Sampling(population.clients, updates, poisson, lacks)
