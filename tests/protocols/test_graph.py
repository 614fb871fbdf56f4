"""Graphs of clients and their mixing weights."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import networkx as nx
import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.protocols.graph import CHANGING, Graph, GraphName, Neighbours, spectral_gap, topology
from mpifl.protocols.weights import mixing_matrix

NAMES = sorted(set(get_args(GraphName)) - {"file"})
SAMPLES = np.arange(1, 17)


def graph_of(name: str, round_number: int = 1, **keys: object) -> Neighbours:
    return topology(Graph(name=name, **keys), 16, seed=1).at(round_number)


def as_networkx(graph: Neighbours) -> nx.DiGraph:
    return nx.DiGraph([(i, j) for i, others in graph.receivers.items() for j in others])


@pytest.mark.parametrize("name", NAMES)
def test_who_sends_and_who_receives_are_the_same_edges(name: str) -> None:
    graph = graph_of(name)
    sent = {(i, j) for i, others in graph.receivers.items() for j in others}
    got = {(i, j) for j, others in graph.senders.items() for i in others}
    assert sent == got
    assert all(i != j for i, j in sent)
    if name not in CHANGING:
        assert nx.is_strongly_connected(as_networkx(graph))


def test_graphs_have_the_degrees_that_their_names_say() -> None:
    degrees = {
        "ring": {2},
        "torus": {4},
        "complete": {15},
        "star": {1, 15},
        "exponential": {4},  # 1, 2, 4, 8
        "one_peer_exponential": {1},
        "regular": {4},
        "matching": {1},
    }
    for name, expected in degrees.items():
        assert {len(others) for others in graph_of(name).receivers.values()} == expected, name


def test_a_graph_that_changes_is_another_each_round_and_comes_again() -> None:
    for name in CHANGING:
        kept = topology(Graph(name=name), 16, seed=1)
        first = kept.at(1)
        assert kept.at(2) != first
        assert topology(Graph(name=name), 16, seed=1).at(1) == first
    hops = [graph_of("one_peer_exponential", number).receivers[0][0] for number in range(1, 6)]
    assert hops == [1, 2, 4, 8, 1]


def test_random_graphs_follow_the_seed() -> None:
    keys = Graph(name="erdos_renyi", probability=0.4)
    one, same, other = (topology(keys, 16, seed).at(1) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize("name", [n for n in NAMES if graph_of(n).symmetric])
def test_metropolis_weights_are_doubly_stochastic(name: str) -> None:
    matrix = mixing_matrix("metropolis", graph_of(name), SAMPLES)
    assert matrix.sum(axis=0) == pytest.approx(np.ones(16))
    assert matrix.sum(axis=1) == pytest.approx(np.ones(16))
    assert (matrix >= 0).all()
    assert matrix == pytest.approx(matrix.T)


def test_other_weights_are_row_stochastic() -> None:
    for rule in ("uniform", "samples"):
        matrix = mixing_matrix(rule, graph_of("exponential"), SAMPLES)
        assert matrix.sum(axis=1) == pytest.approx(np.ones(16))
    complete = mixing_matrix("samples", graph_of("complete"), SAMPLES)
    assert complete == pytest.approx(np.tile(SAMPLES / SAMPLES.sum(), (16, 1)))


def test_the_spectral_gap_is_that_of_the_formulas() -> None:
    ring = mixing_matrix("metropolis", graph_of("ring"), SAMPLES)
    assert spectral_gap(ring) == pytest.approx(1 - (1 + 2 * np.cos(2 * np.pi / 16)) / 3)
    complete = mixing_matrix("metropolis", graph_of("complete"), SAMPLES)
    assert spectral_gap(complete) == pytest.approx(1)


def test_a_graph_comes_from_a_list_of_edges(tmp_path: Path) -> None:
    path = tmp_path / "edges"
    path.write_text("# a line\n0 1\n1, 2\n\n")
    both = topology(Graph(name="file", path=str(path)), 3, 0).at(1)
    assert both.receivers == {0: (1,), 1: (0, 2), 2: (1,)}
    one_way = topology(Graph(name="file", path=str(path), directed=True), 3, 0).at(1)
    assert one_way.receivers == {0: (1,), 1: (2,), 2: ()}
    assert one_way.senders == {0: (), 1: (0,), 2: (1,)}


@pytest.mark.parametrize("line", ["0 3", "0 -1", "0", "0 1 2", "a b", f"0 {'1' * 5000}"])
def test_a_wrong_edge_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "edges"
    path.write_text(f"0 1\n{line}\n")
    with pytest.raises(InputError, match=r"line 2: .* is no edge; allowed: two clients, 0 to 2"):
        topology(Graph(name="file", path=str(path)), 3, 0)


def test_graphs_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(InputError, match="'torus' is not allowed with 13 clients"):
        topology(Graph(name="torus"), 13, 0)
    with pytest.raises(InputError, match=r"graph\.probability: .* were all in several parts"):
        topology(Graph(name="erdos_renyi", probability=0.0), 5, 0)
    with pytest.raises(InputError, match=r"graph\.degree: 1 is not allowed: .* several parts"):
        topology(Graph(name="regular", degree=1), 6, 0)
    with pytest.raises(InputError, match="degree: 3 is not allowed with watts_strogatz"):
        topology(Graph(name="watts_strogatz", degree=3), 10, 0)
    with pytest.raises(InputError, match="path: missing"):
        topology(Graph(name="file"), 5, 0)
