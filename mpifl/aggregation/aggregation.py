"""The base class of the aggregation rules: how the updates of a round become one."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.job.section import Count, Section


class Aggregation(Section):
    """Base of the aggregation rules (``aggregation.name``).

    A rule has to have ``aggregate``. An instance holds the rule's keys and never changes.

    Attributes:
        needs_updates: Whether the rule needs all updates of a round. Without them it is the exact
            sum, to which each rank adds its updates as they come.
        reference: One more row that the rule gets, the last one, of weight 0: what came out of the
            round before (``last``; 0 before the first), or the update that the server makes on its
            own samples (``root``, of ``fltrust``).
        remembers: Whether the rule needs the histories of the clients (``updates.histories``).
        needs_staleness: Whether the rule weighs late updates itself (``updates.late``).
        by_entry: Whether it decides entry by entry, and so of each array of an update by itself.
        rescales: Whether it changes the length of updates, and so what their weights add up to.
        of_changes: Whether it takes an update for a change of the model: that it has a length, a
            sign or a direction. Algorithms whose clients upload models are then refused.
    """

    left_to_plug_ins: ClassVar[tuple[str, ...]] = ("aggregate",)

    needs_updates: ClassVar[bool] = True
    """Whether the rule needs all updates of a round."""

    reference: ClassVar[Literal["none", "last", "root"]] = "none"
    """The row that the rule gets beside the updates."""

    remembers: ClassVar[bool] = False
    """Whether the rule needs the sums of all that the clients have sent so far."""

    needs_staleness: ClassVar[bool] = False
    """Whether the rule weighs late updates itself."""

    by_entry: ClassVar[bool] = False
    """Whether the rule decides entry by entry, and so of each array of an update by itself."""

    rescales: ClassVar[bool] = False
    """Whether the rule changes the length of updates, and so what their weights add up to."""

    of_changes: ClassVar[bool] = False
    """Whether the rule takes an update for a change of the model, with a length and a sign."""

    name: str
    bucket: Count = Field(
        1,
        description="average so many updates, drawn at random, before the rule sees them"
        " (bucketing)",
    )

    def aggregate(self, updates: Updates) -> Aggregate:
        """Return what the updates of a round become.

        Every rank calls it, with the same updates. It may look at them through ``updates`` only,
        and has to do the same on every rank.

        Args:
            updates: At least one update. An algorithm with several sums (``Algorithm.slots``) has
                its rule called for each of them.

        Returns:
            New weights of the updates (``updates.weighted``), or values (``updates.columns``). The
            sum of the weights stands for the updates' own: a rule that only scales updates down
            returns smaller ones.
        """
        raise NotImplementedError

    @property
    def smooths(self) -> bool:
        """Whether the rule changes the model after the server's step."""
        return type(self).finish is not Aggregation.finish

    def finish(
        self, model: np.ndarray, round_number: int, random: np.random.Generator
    ) -> np.ndarray:
        """Return the server's model after a round in place of ``model``; rank 0 calls it.

        Args:
            model: The trained segment after the server's step, (trained,) float32.
            round_number: The number of the round.
            random: A generator that depends on (seed, round).
        """
        return model
