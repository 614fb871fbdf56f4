"""Graphs of clients: who is whose neighbour, and with what weight its model counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import networkx as nx
import numpy as np
from pydantic import Field

from mpifl.errors import InputError, counted
from mpifl.io.files import read_errors
from mpifl.job.section import Section
from mpifl.seeds import Purpose, generator

GraphName = Literal[
    "ring",
    "torus",
    "complete",
    "star",
    "exponential",
    "one_peer_exponential",
    "erdos_renyi",
    "watts_strogatz",
    "regular",
    "matching",
    "file",
]

CHANGING = ("one_peer_exponential", "matching")
"""Graphs that differ from round to round."""


class Graph(Section):
    """The keys of a graph of clients."""

    name: GraphName = Field(
        "ring",
        description="`ring`; `torus`, a square grid whose ends meet; `complete`; `star`, around"
        " client 0; `exponential`: i sends to i + 1, 2, 4, ...; `one_peer_exponential`: to one of"
        " these, another each round; `erdos_renyi`, `watts_strogatz`, `regular`: random;"
        " `matching`: random pairs, others each round; `file`: a list of edges",
    )
    degree: int = Field(
        4, ge=1, description="neighbours of a client in watts_strogatz (even) and regular"
    )
    probability: float = Field(
        0.3,
        ge=0,
        le=1,
        description="of an edge, in erdos_renyi; that an edge is rewired, in watts_strogatz",
    )
    path: str | None = Field(
        None, description="file with two clients in a line, for an edge of `file`"
    )
    directed: bool = Field(
        False, description="whether an edge of `file` goes from the first client to the second only"
    )


@dataclass(frozen=True)
class Neighbours:
    """A graph: ``receivers[i]`` are the clients to which i sends, ``senders[i]`` from whom it gets.

    Both are sorted, and a client is not its own neighbour.
    """

    receivers: Mapping[int, tuple[int, ...]]
    senders: Mapping[int, tuple[int, ...]]

    @cached_property
    def symmetric(self) -> bool:
        """Whether all send to those from whom they get."""
        return self.receivers == self.senders


@dataclass(frozen=True)
class Topology:
    """The graph of each round.

    Attributes:
        keys: The job's keys.
        clients: The number of clients.
        seed: The job's seed.
        fixed: The graph of all rounds; None where it changes.
        cache: The graphs of some rounds.
    """

    keys: Graph
    clients: int
    seed: int
    fixed: Neighbours | None
    cache: dict[int, Neighbours]

    def at(self, round_number: int) -> Neighbours:
        """Return the graph of a round, counted from 1."""
        if self.fixed is not None:
            return self.fixed
        if round_number not in self.cache:
            if len(self.cache) > KEPT:
                self.cache.clear()
            self.cache[round_number] = _changing(self, round_number)
        return self.cache[round_number]


MOST_DIGITS = 18
"""Of a client's number in a file of edges: those of int64."""

KEPT = 64
"""How many rounds' graphs are in memory."""


def topology(keys: Graph, clients: int, seed: int) -> Topology:
    """Return the graph of each round. Raises InputError for a graph that cannot be made."""
    fixed = None if keys.name in CHANGING else neighbours(_fixed(keys, clients, seed), clients)
    return Topology(keys, clients, seed, fixed, {})


def neighbours(graph: nx.Graph | nx.DiGraph, clients: int) -> Neighbours:
    """Return the neighbours in a graph of the clients 0 to clients - 1."""
    directed = graph.is_directed()
    receivers = {}
    senders = {}
    for client in range(clients):
        out = graph.successors(client) if directed else graph.neighbors(client)
        into = graph.predecessors(client) if directed else graph.neighbors(client)
        receivers[client] = tuple(sorted(set(out) - {client}))
        senders[client] = tuple(sorted(set(into) - {client}))
    return Neighbours(receivers, senders)


def spectral_gap(weights: np.ndarray) -> float:
    """Return 1 minus the second largest size of an eigenvalue of a mixing matrix (n, n).

    The larger, the faster models become alike; 0 for a graph in parts.
    """
    sizes = np.sort(np.abs(np.linalg.eigvals(weights)))
    return float(1 - sizes[-2]) if len(sizes) > 1 else 1.0


def _fixed(keys: Graph, clients: int, seed: int) -> nx.Graph | nx.DiGraph:
    """Return the graph of a job that keeps it. Raises InputError."""
    if keys.name == "file":
        return _of_file(keys, clients)
    if keys.name in ("erdos_renyi", "watts_strogatz", "regular"):
        return _random(keys, clients, seed)

    if keys.name == "ring":
        return nx.cycle_graph(clients) if clients > 2 else nx.path_graph(clients)
    if keys.name == "complete":
        return nx.complete_graph(clients)
    if keys.name == "star":
        return nx.star_graph(clients - 1)
    if keys.name == "torus":
        return _torus(clients)
    assert keys.name == "exponential"
    graph = nx.DiGraph()
    graph.add_nodes_from(range(clients))
    for hop in _hops(clients):
        graph.add_edges_from((client, (client + hop) % clients) for client in range(clients))
    return graph


def _torus(clients: int) -> nx.Graph:
    side = math.isqrt(clients)
    while clients % side:
        side -= 1
    if side == 1:
        raise InputError(
            f"protocol.graph.name: 'torus' is not allowed with {counted(clients, 'client')}, which"
            " make no grid; allowed: a number of clients that is a product, such as 16"
        )
    grid = nx.grid_2d_graph(side, clients // side, periodic=True)
    return nx.relabel_nodes(grid, {place: i for i, place in enumerate(sorted(grid))})


def _random(keys: Graph, clients: int, seed: int) -> nx.Graph:
    """Return a random graph that is in one piece; the first of at most 100."""
    random = generator(seed, Purpose.GRAPH, 0)
    for _ in range(100):
        try:
            graph = _drawn(keys, clients, random)
        except nx.NetworkXException as error:
            raise InputError(
                f"protocol.graph: {keys.name} of {counted(clients, 'client')} with degree"
                f" {keys.degree} cannot be made: {error}"
            ) from error
        if clients == 1 or nx.is_connected(graph):
            return graph
    key = "probability" if keys.name == "erdos_renyi" else "degree"
    raise InputError(
        f"protocol.graph.{key}: {getattr(keys, key):g} is not allowed: 100 graphs of"
        f" {counted(clients, 'client')} were all in several parts; allowed: a larger one"
    )


def _drawn(keys: Graph, clients: int, random: np.random.Generator) -> nx.Graph:
    if keys.name == "regular":
        return nx.random_regular_graph(keys.degree, clients, seed=random)
    if keys.name == "watts_strogatz":
        if keys.degree % 2:
            raise InputError(
                f"protocol.graph.degree: {keys.degree} is not allowed with watts_strogatz; allowed:"
                " even numbers"
            )
        return nx.watts_strogatz_graph(clients, keys.degree, keys.probability, seed=random)
    return nx.fast_gnp_random_graph(clients, keys.probability, seed=random)


def _of_file(keys: Graph, clients: int) -> nx.Graph | nx.DiGraph:
    """Return the graph of a list of edges. Raises InputError with the line that is wrong."""
    if keys.path is None:
        raise InputError("protocol.graph.path: missing; protocol.graph.name file needs a file")
    path = Path(keys.path)
    with read_errors(path):
        lines = path.read_text(encoding="utf-8").splitlines()

    graph = nx.DiGraph() if keys.directed else nx.Graph()
    graph.add_nodes_from(range(clients))
    for place, line in enumerate(lines, 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        ends = [_client(word) for word in words]
        if len(ends) != 2 or not all(0 <= end < clients for end in ends):
            raise InputError(
                f"{path}: line {place}: {line.strip()!r} is no edge; allowed: two clients, 0 to"
                f" {clients - 1}"
            )
        graph.add_edge(*ends)
    return graph


def _client(word: str) -> int:
    """Return the client that a word names; -1 for none, and for more digits than a number has."""
    return int(word) if word.isdecimal() and len(word) <= MOST_DIGITS else -1


def _changing(graph: Topology, round_number: int) -> Neighbours:
    """Return the graph of a round of one of CHANGING."""
    clients = graph.clients
    if graph.keys.name == "one_peer_exponential":
        hops = _hops(clients)
        hop = hops[(round_number - 1) % len(hops)]
        return Neighbours(
            {client: ((client + hop) % clients,) for client in range(clients)},
            {client: ((client - hop) % clients,) for client in range(clients)},
        )

    order = generator(graph.seed, Purpose.GRAPH, round_number).permutation(clients).tolist()
    pairs: dict[int, tuple[int, ...]] = dict.fromkeys(range(clients), ())
    for one, other in zip(order[::2], order[1::2], strict=False):
        pairs[one] = (other,)
        pairs[other] = (one,)
    return Neighbours(pairs, pairs)


def _hops(clients: int) -> list[int]:
    """Return 1, 2, 4, ... below the number of clients."""
    return [1 << power for power in range(max(1, math.ceil(math.log2(max(2, clients)))))]
