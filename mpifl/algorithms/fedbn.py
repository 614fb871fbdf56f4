"""FedBN: batch norm layers stay with the clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.part import Part, part_of
from mpifl.algorithms.requests import Train, Trained
from mpifl.errors import InputError
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch


class FedBN(Algorithm):
    """Li et al., arXiv 2102.07623, algorithm 1.

    Each client keeps the parameters and the statistics of its batch norm layers, those of the
    initial model at first. All other tensors become the unweighted mean over the participants, as
    in the paper. The layers that clients keep never travel: the global model has the initial ones
    (and the initial values of all other buffers), so clients should be tested with their own models
    (``evaluation.personal``).

    A model without batch norm is refused: for it this is FedAvg with equal weights.
    """

    shares_averages = False
    weighs_samples = False

    name: str = "fedbn"

    def received_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"shared": Array((len(_norm(layout).rest.indices),))}

    def uploaded_arrays(self, layout: Layout) -> dict[str, Array]:
        return self.received_arrays(layout)

    def kept_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"norm": Array((len(_norm(layout).indices),))}

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        return {"model": model, "shared": model[_norm(layout).rest.indices]}

    def client(self, c: ClientContext) -> Program:
        norm = _norm(c.layout)
        trained: Trained = yield Train(_own_model(c, norm))
        return Upload(shared=norm.rest.of(trained.update), keep={"norm": norm.of(trained.weights)})

    def personal(self, c: ClientContext) -> torch.Tensor:
        return _own_model(c, _norm(c.layout))

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        shared = s.state["shared"] + mean["shared"]
        model = s.state["model"].copy()
        model[_norm(s.layout).rest.indices] = shared
        return {"model": model, "shared": shared}


def _norm(layout: Layout) -> Part:
    """Return the entries of batch norm layers. Raises InputError for a model without."""
    if not layout.norm:
        raise InputError(
            "algorithm.name: 'fedbn' is not allowed: the model has no batch norm layers to keep;"
            " allowed: fedavg, ..."
        )
    return part_of(layout, layout.norm)


def _own_model(c: ClientContext, norm: Part) -> torch.Tensor:
    """Return the shared tensors with the client's own batch norm layers, (size,) float32."""
    model = norm.rest.put(c.initial, c.received["shared"])
    return norm.put(model, c.kept["norm"]) if c.kept else model
