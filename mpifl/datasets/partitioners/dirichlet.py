"""Label skew by a Dirichlet distribution."""

from __future__ import annotations

import heapq
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from mpifl.datasets.partitioners.dealing import dealt_in_turn, dirichlet, drawn
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples


class Dirichlet(Partitioner):
    """Latent Dirichlet allocation by label; a small alpha gives each client few classes.

    ``by: class`` (FedML; NIID-Bench, arXiv 2102.02079; Flower's DirichletPartitioner): each class k
    is dealt in proportions p_k ~ Dirichlet(alpha, ..., alpha) over the clients, cut at
    round(cumsum(p_k) x n_k) (the others round down). Sizes differ. With ``balance`` a client that
    holds an equal share (samples / clients) or more gets nothing of the classes that follow, as in
    FedML and NIID-Bench: its p_k is set to 0 and the rest is scaled, which is the same as to draw
    p_k over the other clients. Clients left with fewer than ``min_samples`` take samples from the
    largest client, one at a time; the others draw everything again until it fits, which may never
    end.

    ``by: client`` (Hsu et al. 2019, arXiv 1909.06335; Flower's create_lda_partitions): each client
    draws its class mixture q ~ Dirichlet(alpha p), where p is the share of each class in the data.
    It takes equally many samples (one more or less) by q, without replacement; a class that has run
    out is removed from q. Clients draw one after the other, so the last ones take what is left.
    Flower's concentration c, one for each class, is alpha = c x classes where the classes are
    equally large.
    """

    name: str = "dirichlet"
    by: Literal["class", "client"] = Field(
        "class",
        description="`class`: a class draws its clients; `client`: a client draws its classes",
    )
    alpha: float = Field(0.5, gt=0, description="concentration; smaller is more skewed")
    balance: bool = Field(
        False, description="with `by: class`: a client with an equal share gets no more"
    )
    min_samples: int = Field(1, ge=1, description="samples that every client has at least")

    @model_validator(mode="after")
    def _check_balance(self) -> Dirichlet:
        if self.balance and self.by == "client":
            raise ValueError("balance goes with by: class; by: client gives equal sizes anyway")
        return self

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        labels = self.classes_of(samples)
        self.check_enough(samples.count, self.min_samples)

        if self.by == "client":
            return self._by_client(labels, random)
        client = self._by_class(labels, random)
        fill_up(client, self.clients, self.min_samples, random)
        return client

    def _by_class(self, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        client = np.empty(len(labels), np.int64)
        sizes = np.zeros(self.clients, np.int64)
        stock = np.unique(labels, return_counts=True)[1]

        for of_class in np.split(np.argsort(labels, kind="stable"), np.cumsum(stock)[:-1]):
            rows = random.permutation(of_class)
            takers = np.arange(self.clients)
            if self.balance:
                takers = np.flatnonzero(sizes * self.clients < len(labels))
            shares = dirichlet(np.full(len(takers), self.alpha), random)
            cuts = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
            client[rows] = takers[np.searchsorted(cuts, np.arange(len(rows)), side="right")]
            sizes += np.bincount(client[rows], minlength=self.clients)
        return client

    def _by_client(self, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        _, label, stock = np.unique(labels, return_inverse=True, return_counts=True)
        with np.errstate(over="ignore"):  # ``dirichlet`` reports an overflow
            alpha = self.alpha * stock / len(labels)

        return dealt_in_turn(
            label, self.clients, lambda size, left: drawn(size, alpha, left, random), random
        )


def fill_up(client: np.ndarray, clients: int, least: int, random: np.random.Generator) -> None:
    """Give every client ``least`` samples by changing ``client`` (samples,) in place.

    Samples move one at a time, each from the client that then has the most (the first of them).
    Needs len(client) >= clients x least. As long as any client has fewer than ``least``, the
    largest has more, so no client both gives and takes, and a heap of the possible givers suffices.
    """
    sizes = np.bincount(client, minlength=clients)
    poor = np.flatnonzero(sizes < least)
    if len(poor) == 0:
        return

    rows = np.argsort(client, kind="stable")
    start = np.cumsum(sizes) - sizes
    givers = [(-int(size), int(giver)) for giver, size in enumerate(sizes) if size > least]
    heapq.heapify(givers)

    held: dict[int, list[int]] = {}
    for taker in poor:
        for _ in range(least - sizes[taker]):
            size, giver = givers[0]  # the size is negative
            if giver not in held:
                held[giver] = rows[start[giver] : start[giver] - size].tolist()
            client[held[giver].pop(random.integers(-size))] = taker
            heapq.heapreplace(givers, (size + 1, giver))
