"""The base class of attacks whose attackers see other updates before they send theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mpifl.aggregation.updates import Updates
from mpifl.aggregation.views import Make
from mpifl.attacks.attack import Attack


@dataclass(frozen=True)
class Plot:
    """The attackers of a round.

    Attributes:
        attackers: Their rows among the updates (m,) int64.
        known: The rows that they know (k,) int64, theirs among them.
        clients: The clients of all rows (n,) int64.
        make_generator: Return a generator that depends on (seed, round, attack) and on the numbers
            that it is given.
    """

    attackers: np.ndarray
    known: np.ndarray
    clients: np.ndarray
    make_generator: Callable[..., np.random.Generator]


class Colluding(Attack):
    """Base of the attacks whose attackers collude. One of them has ``craft``.

    They know what each of them would have sent, or all updates of the round. Their updates are
    replaced before the aggregation rule sees any, so all updates of a round are kept, as for a
    rule that needs them all.
    """

    colludes: ClassVar[bool] = True

    knows: Literal["attackers", "all"] = Field(
        "attackers", description="whose updates attackers see: their own, or all of the round"
    )

    @property
    def of_changes(self) -> bool:
        """Whether the attack takes updates for changes of a model, with a length and a sign."""
        return False

    def craft(self, updates: Updates, plot: Plot) -> Make:
        """Return what the attackers send, as a function of columns; collective.

        Args:
            updates: Those that honest training gave, and what earlier attacks made of them.
            plot: Who attacks, and what they know.

        Returns:
            A function of the place of some columns and of the columns (n, width) of all updates.
            It returns those that attackers send, (m, width), or one (width,) for all of them. It
            must make the same of a column whichever others come with it.
        """
        raise NotImplementedError


def deviation(columns: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (width,) float64 of the rows ``known`` of columns.

    The deviation is that of all of them (n, not n - 1), in two passes.
    """
    rows = columns[known].astype(np.float64)
    mean = rows.sum(axis=0) / len(rows)
    spread = np.sqrt(np.square(rows - mean).sum(axis=0) / len(rows))
    return mean, spread
