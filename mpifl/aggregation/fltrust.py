"""FLTrust: updates count as far as they point where the server's own update does."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from mpifl.aggregation.aggregation import Aggregation
from mpifl.aggregation.updates import Aggregate, Updates
from mpifl.job.section import Count


class FlTrust(Aggregation):
    """An aggregation rule: Cao et al., NDSS 2021 (arXiv 2012.13995, algorithm 2).

    The server trains the round's model on samples of its own, by plain local steps with the job's
    section ``training``. The trust in an update is the cosine of its angle with that update, 0
    where it is negative. Each update is scaled to the length of the server's, and the result is
    their mean, weighted by trust; nothing where no update is trusted. The algorithm's first array
    has to be the model's update.

    The server's work takes no virtual time.
    """

    reference: ClassVar[Literal["none", "last", "root"]] = "root"

    rescales: ClassVar[bool] = True
    of_changes: ClassVar[bool] = True

    name: str = "fltrust"
    root_samples: Count | None = Field(
        None, description="the server's samples: so many of the validation part, drawn by the seed"
    )
    root_clients: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="the server's samples instead: the training samples of these clients",
    )

    @model_validator(mode="after")
    def _root(self) -> FlTrust:
        if (self.root_samples is None) == (self.root_clients is None):
            raise ValueError("give root_samples or root_clients, one of the two")
        return self

    def aggregate(self, updates: Updates) -> Aggregate:
        norms = np.sqrt(np.maximum(updates.products.diagonal(), 0.0))
        trust = trust_scores(updates.products)
        factors = np.zeros(len(updates))
        if trust.any():
            factors = trust * norms[-1] / np.maximum(norms, np.finfo(float).tiny) / trust.sum()
        return updates.combined(factors, averaged=trust)


def trust_scores(products: np.ndarray) -> np.ndarray:
    """Return the cosine (n + 1,) of each update with the last one, at least 0; 0 of the last."""
    norms = np.sqrt(np.maximum(products.diagonal(), 0.0))
    scale = np.maximum(norms * norms[-1], np.finfo(float).tiny)
    trust: np.ndarray = np.maximum(products[-1] / scale, 0.0)
    trust[-1] = 0.0
    return trust
