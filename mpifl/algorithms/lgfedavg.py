"""LG-FedAvg: each client has lower layers of its own, below a shared head."""

from __future__ import annotations

from mpifl.algorithms.fedper import FedPer
from mpifl.models.layout import Layout


class LgFedAvg(FedPer):
    """Liang et al., arXiv 2001.01523, algorithm 1, without its auxiliary losses.

    FedPer the other way round: the head is global, and a client keeps the layers below it (at first
    the initial ones), together with their running means where they have batch norm. The head's mean
    is weighted by samples.
    """

    shares_averages = False

    name: str = "lgfedavg"

    def shared_names(self, layout: Layout) -> frozenset[str]:
        return frozenset(self.head_of(layout))
