"""The base class of algorithms that share a part of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Array, Arrays
from mpifl.algorithms.context import ClientContext, ServerContext, Upload
from mpifl.algorithms.part import Part, part_of
from mpifl.errors import InputError
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


class Partial(Algorithm):
    """The base of algorithms that share a part of the model: by default all but its head.

    ``shared`` is that part, (shared,): trained parameters, and behind them the averaged segment
    where ``shares_averages``. It moves by the mean update of its trained entries, and to the mean
    of its averaged ones. ``model`` is the initial model with the shared part put in.
    """

    head: list[str] | None = Field(
        None,
        min_length=1,
        description="the parameters of the head, by name; default: those of the last layer",
    )

    def head_of(self, layout: Layout) -> tuple[str, ...]:
        """Return the names of the head's parameters.

        Raises:
            InputError: The model has no such parameters, or no others.
        """
        head = layout.head if self.head is None else tuple(self.head)
        for name in head:
            if name not in layout.parameters:
                allowed = ", ".join(layout.parameters)
                raise InputError(f"algorithm.head: {name!r} is not allowed; allowed: {allowed}")
        if not set(layout.parameters) - set(head):
            raise InputError(
                f"algorithm.name: {self.name!r} is not allowed: it parts the model into a head and"
                " the layers below, and this model has none below; allowed: models with more"
                " layers (mlp, ...)"
            )
        return head

    def body_of(self, layout: Layout) -> frozenset[str]:
        """Return the names of the trained parameters that are not in the head."""
        return frozenset(layout.parameters) - frozenset(self.head_of(layout))

    def shared_names(self, layout: Layout) -> frozenset[str]:
        """Return the names of the parameters that are shared."""
        return self.body_of(layout)

    def shared(self, layout: Layout) -> Part:
        """Return the part that is shared."""
        return part_of(layout, self.shared_names(layout), averages=self.shares_averages)

    def _trained(self, layout: Layout) -> Part:
        """Return the trained entries of the part that is shared."""
        return part_of(layout, self.shared_names(layout))

    def received_arrays(self, layout: Layout) -> Mapping[str, Array]:
        return {"shared": Array((len(self.shared(layout).indices),))}

    def uploaded_arrays(self, layout: Layout) -> Mapping[str, Array]:
        return {"update": Array((len(self._trained(layout).indices),))}

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        return {"model": model, "shared": model[self.shared(layout).indices]}

    def with_shared(self, c: ClientContext) -> torch.Tensor:
        """Return the initial model with the shared part that the client received, (size,)."""
        return self.shared(c.layout).put(c.initial, c.received["shared"])

    def upload(
        self, c: ClientContext, update: torch.Tensor, weights: torch.Tensor, **keep: torch.Tensor
    ) -> Upload:
        """Return the upload of a client: what it changed, and what it ended with, (size,) both."""
        return Upload(
            update=self._trained(c.layout).of(update),
            averages=weights[c.layout.averages],
            keep=keep,
        )

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        trained = len(mean["update"])
        before = s.state["shared"].astype(np.float64)
        moved = before[:trained] + mean["update"]
        averaged = max(0.0, 1.0 - s.weight) * before[trained:] + s.weight * s.averages[0]
        shared = np.concatenate([moved, averaged])

        model = s.state["model"].copy()
        model[self.shared(s.layout).indices] = shared
        return {"model": model, "shared": shared}
