"""Which clients attack. Nothing here grows with the population."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpifl.attacks.attack import Attack
from mpifl.clock.kernels.online_patterns import places
from mpifl.errors import InputError, counted, keys_at
from mpifl.population.population import Population
from mpifl.seeds import Purpose, number

MOST_ATTACKS = 32
"""A task has a bit for each attack of the job."""

MOST_NAMED = 10
"""How many clients are named."""

CLASSES = ("fast", "medium", "slow")


@dataclass(frozen=True)
class Attackers:
    """Who takes part in the attacks of a job; for rank 0, which has the device trace.

    Attributes:
        attacks: Those of the job.
        population: All clients.
        seed: The seed of the job.
    """

    attacks: tuple[Attack, ...]
    population: Population
    seed: int

    def marks(self, clients: np.ndarray, rounds: np.ndarray) -> np.ndarray:
        """Return the attacks of each of ``clients`` (n,) int64 in ``rounds`` (n,), (n,) uint32.

        Bit i stands for attack i.
        """
        marks = np.zeros(len(clients), np.uint32)
        if not len(clients):
            return marks
        for place, attack in enumerate(self.attacks):
            there = (rounds >= attack.first_round) & self._members(place, attack, clients)
            marks |= there.astype(np.uint32) << np.uint32(place)
        return marks

    def _members(self, place: int, attack: Attack, clients: np.ndarray) -> np.ndarray:
        """Return which of ``clients`` (n,) an attack has, (n,) bool."""
        population = self.population
        if attack.share is not None:
            key = number(self.seed, Purpose.ATTACKERS, place)
            drawn = places(clients.astype(np.int64), population.clients, key)
            return drawn < share_of(attack.share, population.clients)
        if attack.clients is not None:
            numbers = [client for client in attack.clients if isinstance(client, int)]
            of_data = clients % population.data.train.clients
            return np.isin(clients, numbers) | np.isin(of_data, self._named[place])
        speed = population.phones.compute_ms_per_sample[population.devices(clients)]
        of_class = np.searchsorted(self._class_bounds, speed)
        return of_class == CLASSES.index(str(attack.device_class))

    @cached_property
    def _named(self) -> tuple[np.ndarray, ...]:
        """The clients of the data set that each attack names, int64."""
        return tuple(data_clients(attack.clients or (), self.population) for attack in self.attacks)

    @cached_property
    def _class_bounds(self) -> np.ndarray:
        """The speeds between the classes of devices (2,), milliseconds a sample."""
        speed = self.population.phones.compute_ms_per_sample
        return np.quantile(speed, [1 / 3, 2 / 3], method="higher")


def share_of(share: float, clients: int) -> int:
    """Return how many of ``clients`` a share is, rounded."""
    return round(share * clients)


def data_clients(names: Iterable[int | str], population: Population) -> np.ndarray:
    """Return the clients of the data set (n,) int64 that the texts among ``names`` name.

    Raises InputError for one that is not there.
    """
    texts = [name for name in names if isinstance(name, str)]
    if not texts:
        return np.empty(0, np.int64)
    known = [
        name.decode() if isinstance(name, bytes) else str(name)
        for name in population.data.train.client
    ]
    for text in texts:
        if text not in known:
            raise InputError(f"{text!r} is no client of {population.data.name}")
    return np.flatnonzero(np.isin(known, texts))


def attackers_text(attackers: Attackers) -> list[str]:
    """Return in words who attacks, a line for each attack."""
    population = attackers.population
    clients = counted(population.clients, "client")
    lines = []
    for place, attack in enumerate(attackers.attacks):
        if attack.share is not None:
            who = f"{share_of(attack.share, population.clients):,} of {clients}"
        elif attack.clients is not None:
            who = f"clients {', '.join(map(str, attack.clients[:MOST_NAMED]))}"
            more = len(attack.clients) - MOST_NAMED
            who += f" and {more:,} more" if more > 0 else ""
        else:
            who = f"clients whose devices are {attack.device_class}"
        since = f" from round {attack.first_round}" if attack.first_round > 1 else ""
        lines.append(f"attacks.{place} ({attack.name}): {who}{since}")
    return lines


def of_each(attacks: Iterable[Attack], make: Callable[[Attack], Attack]) -> tuple[Attack, ...]:
    """Return what ``make`` makes of each attack; an InputError names its place in the job."""
    made = []
    for place, attack in enumerate(attacks):
        with keys_at("attacks", f"attacks.{place}"):
            made.append(make(attack))
    return tuple(made)


def check_attackers(attackers: Attackers) -> None:
    """Raise InputError for attacks that nobody could make, and for more of them than there can be.

    For rank 0.
    """
    population = attackers.population
    if len(attackers.attacks) > MOST_ATTACKS:
        raise InputError(
            f"attacks: {len(attackers.attacks)} are not allowed; allowed: up to {MOST_ATTACKS}"
        )
    clients = counted(population.clients, "client")
    for place, attack in enumerate(attackers.attacks):
        with keys_at("attacks", f"attacks.{place}"):
            attack.check(population.data)
        if attack.share is not None and not share_of(attack.share, population.clients):
            raise InputError(
                f"attacks.{place}.share: {attack.share:g} is not allowed: of {clients} that is"
                " nobody; a larger share, or name the clients"
            )
        for client in attack.clients or ():
            if isinstance(client, int) and not 0 <= client < population.clients:
                raise InputError(
                    f"attacks.{place}.clients: {client} is not allowed; allowed: 0 to"
                    f" {population.clients - 1}"
                )
        try:
            data_clients(attack.clients or (), population)
        except InputError as error:
            raise error.within(f"attacks.{place}.clients") from error
