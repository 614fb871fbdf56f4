"""The base class of attacks: who attacks, from which round, and what is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from mpifl.job.section import Count, Section

if TYPE_CHECKING:
    import torch

    from mpifl.datasets.dataset import Dataset


@dataclass(frozen=True)
class Attacker:
    """A client that attacks, in a round.

    Attributes:
        client: Its number.
        round: The number of the round.
        make_generator: Return a generator that depends on (seed, round, client, attack) only.
    """

    client: int
    round: int
    make_generator: Callable[[], np.random.Generator]


class Attack(Section):
    """Base of the attacks (``attacks``, a list).

    An attack has ``poison`` or ``change``, or both; those whose attackers collude are made from
    ``Colluding``. An instance holds the attack's keys and never changes. A client that several
    attacks name is under all of them, in the order of the list.
    """

    colludes: ClassVar[bool] = False
    """Whether attackers see other updates of the round before they send theirs."""

    name: str
    share: float | None = Field(
        None, gt=0, le=1, description="who attacks: this share of all clients, drawn by the seed"
    )
    clients: tuple[int | str, ...] | None = Field(
        None,
        min_length=1,
        description="who attacks instead: clients by number or by the name in the data set",
    )
    device_class: Literal["fast", "medium", "slow"] | None = Field(
        None,
        description="who attacks instead: clients whose device is among the fastest third of the"
        " trace, the slowest, or those between",
    )
    first_round: Count = Field(1, description="the first round with this attack")

    @model_validator(mode="after")
    def _who(self) -> Attack:
        given = [self.share, self.clients, self.device_class]
        if sum(value is not None for value in given) != 1:
            raise ValueError("say who attacks: share, clients or device_class, one of them")
        return self

    @property
    def poisons(self) -> bool:
        """Whether attackers train on other samples than theirs."""
        return type(self).poison is not Attack.poison

    @property
    def alters(self) -> bool:
        """Whether attackers send something else than what their training made."""
        return self.colludes or type(self).change is not Attack.change

    @property
    def aims(self) -> bool:
        """Whether the attack wants certain samples to be classified wrongly."""
        return type(self).aim is not Attack.aim

    def check(self, data: Dataset) -> None:
        """Raise InputError for data on which the attack makes no sense.

        Its lines begin with a key such as ``attacks.target``; the place in the list is added.
        """

    def resolved(self) -> Attack:
        """Return the attack with absolute paths of its files; by default itself.

        Raises InputError for a file that cannot be read.
        """
        return self

    def bound(self, data: Dataset) -> Attack:
        """Return the attack with what it needs of the data; by default itself.

        Each rank calls ``poison``, ``change`` and ``aim`` of what this returns.
        """
        return self

    def poison(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what an attacker trains on in place of some of its samples.

        Args:
            x: A minibatch, or all samples of the client where an algorithm asks for those
                (samples, ...): a copy, which may be changed in place.
            y: Their targets (samples, ...), a copy too.
            classes: How many classes the data set has.
            random: A generator that depends on (seed, round, client, request), and goes on from
                one minibatch to the next.

        Returns:
            As many samples and targets of the same shapes, on the same device.
        """
        return x, y

    def labels(self, y: np.ndarray, classes: int) -> np.ndarray:
        """Return the labels that an attacker counts, where an algorithm asks for that.

        Those that it trains on, so that none of them has a count of 0. By default its own.

        Args:
            y: The labels of its samples (samples,).
            classes: How many classes the data set has.

        Returns:
            Labels (n,).
        """
        return y

    def change(self, update: torch.Tensor, attacker: Attacker) -> torch.Tensor:
        """Return what an attacker sends in place of its update.

        Args:
            update: The first array that the algorithm uploads, (size,) float32; not to be changed.
            attacker: Who sends it.

        Returns:
            An update of the same shape, on the same device.
        """
        return update

    def aim(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, first: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the attacker shows the model in a test, and the answers that it wants.

        Args:
            x: Test samples (samples, ...), a copy, which may be changed in place.
            y: Their true targets (samples,) int64, a copy too.
            classes: How many classes the data set has.
            first: The place of the first of them in the tested part.

        Returns:
            Those samples that the attack is on, or others in their place, and the classes wanted
            (n,) int64; n may be 0.
        """
        return x, y


def collude(attacks: Iterable[Attack]) -> bool:
    """Return whether attackers of one of ``attacks`` see other updates before they send theirs."""
    return any(attack.colludes for attack in attacks)
