"""FedPer: each client has a head of its own, and trains it together with the shared layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mpifl.algorithms.arrays import Array
from mpifl.algorithms.context import ClientContext, Program
from mpifl.algorithms.partial import Partial
from mpifl.algorithms.requests import Train, Trained
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


class FedPer(Partial):
    """Arivazhagan et al., arXiv 1912.00818, algorithms 1 and 2.

    A client puts the base layers that it receives below its own head (at first the initial one),
    trains both, keeps the head, and uploads the base layers: their mean is weighted by samples.
    """

    name: str = "fedper"

    def kept_arrays(self, layout: Layout) -> Mapping[str, Array]:
        return {"own": Array((len(self.shared(layout).rest.indices),))}

    def own_model(self, c: ClientContext) -> torch.Tensor:
        """Return what the client received, with what it keeps put in, (size,)."""
        model = self.with_shared(c)
        if "own" in c.kept:
            model = self.shared(c.layout).rest.put(model, c.kept["own"])
        return model

    def own_part(self, c: ClientContext, weights: torch.Tensor) -> torch.Tensor:
        """Return the entries of weights (size,) that the client keeps."""
        return self.shared(c.layout).rest.of(weights)

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(self.own_model(c))
        own = self.own_part(c, trained.weights)
        return self.upload(c, trained.update, trained.weights, own=own)

    def personal(self, c: ClientContext) -> torch.Tensor:
        return self.own_model(c)
