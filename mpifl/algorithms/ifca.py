"""IFCA: several models, of which each client takes the one that fits its data best."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from pydantic import Field

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import MODEL_SIZE, Array, Arrays
from mpifl.algorithms.context import ClientContext, PersonalModel, Program, ServerContext, Upload
from mpifl.algorithms.requests import Evaluate, Evaluated, Request, Train, Trained
from mpifl.algorithms.requirements import needs_one_base
from mpifl.clock.cost import Cost
from mpifl.job import Job
from mpifl.models.layout import Layout


class Ifca(Algorithm):
    """Ghosh et al., arXiv 2006.04088, algorithm 1, model averaging.

    Each client receives the models of all clusters, finds the one with the least loss on its
    samples, trains it, and uploads its update. A cluster's model moves by the mean update of its
    clients; one that nobody took stays. ``model`` is the mean of the clusters' models, weighted by
    the clients that took part.

    The first model is the initial one; noise is added to the others, since equal models never part.
    """

    uploaded = {"update": Array((MODEL_SIZE,))}

    name: str = "ifca"
    clusters: int = Field(2, ge=1, le=1000, description="the number of clusters, k")
    spread: float = Field(
        0.05, ge=0, description="standard deviation of the noise on the first models"
    )

    def check(self, job: Job) -> None:
        needs_one_base(self, job)

    @property
    def slots(self) -> int:
        return self.clusters

    def received_arrays(self, layout: Layout) -> dict[str, Array]:
        return {"models": Array((self.clusters, MODEL_SIZE))}

    def cost(self, layout: Layout) -> Cost:
        return Cost(evaluations=self.clusters if self.clusters > 1 else 0)

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        models = np.tile(model, (self.clusters, 1))
        noise = random.standard_normal((self.clusters - 1, layout.trained))
        models[1:, : layout.trained] += self.spread * noise
        return {"model": model, "models": models}

    def client(self, c: ClientContext) -> Program:
        nearest = yield from self._nearest(c)
        trained: Trained = yield Train(c.received["models"][nearest])
        return Upload(update=trained.take_update(), slot=nearest)

    def personal(self, c: ClientContext) -> PersonalModel:
        nearest = yield from self._nearest(c)
        return c.received["models"][nearest]

    def _nearest(self, c: ClientContext) -> Generator[Request, Any, int]:
        """Return the cluster whose model has the least loss on the client's samples."""
        if self.clusters == 1:
            return 0
        losses = []
        for model in c.received["models"]:
            tested: Evaluated = yield Evaluate(model)
            losses.append(tested.loss)
        return int(np.argmin(np.nan_to_num(losses, nan=np.inf)))  # of a model that has diverged

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        models = s.state["models"] + mean["update"]
        taken = s.slots > 0
        models[taken, s.layout.averages] = s.averages[taken]
        model = np.einsum("k,kn->n", s.slots / s.slots.sum(), models)
        return {"model": model, "models": models}
