"""Pachinko allocation against its exact law, and against the algorithm of Reddi et al. a sample at a time."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mpifl.datasets.partitioners.pachinko import Pachinko
from mpifl.errors import InputError
from tests.datasets.partitioners.dealers import (
    Counts,
    Law,
    assert_follows,
    deal,
    histogram,
    in_turn,
    labels,
)

FINE = np.repeat(
    np.arange(100), 100
)  # CIFAR-100 with a fifth of its samples: 20 coarse classes of 5 fine ones
COARSE = FINE // 5


def two_urns(
    count: int, alpha: Fraction, beta: Fraction, stock: Counts, below: list[list[int]]
) -> Law:
    """The law of a client's hand: Polya's urn of coarse classes, and one of fine classes below each; see dealers.urn."""
    law: Law = {(0,) * len(stock): Fraction(1)}
    for _ in range(count):
        after: Law = defaultdict(Fraction)
        for drawn, chance in law.items():
            open_below = [
                [leaf for leaf in leaves if drawn[leaf] < stock[leaf]] for leaves in below
            ]
            top = [
                alpha + sum(drawn[leaf] for leaf in leaves) if left else Fraction(0)
                for leaves, left in zip(below, open_below, strict=True)
            ]
            for weight, left in zip(top, open_below, strict=True):
                total = sum((beta + drawn[leaf] for leaf in left), Fraction(0))
                for leaf in left:
                    hand = tuple(n + (k == leaf) for k, n in enumerate(drawn))
                    after[hand] += chance * weight / sum(top) * (beta + drawn[leaf]) / total
        law = after
    return law


@pytest.mark.parametrize(
    ("alpha", "beta"), [(Fraction(1, 2), Fraction(2)), (Fraction(3), Fraction(1, 4))]
)
def test_hands_follow_the_exact_law(alpha: Fraction, beta: Fraction) -> None:
    """Three clients of three from a tree of coarse classes {0, 1} and {2, 3} and {4} with few samples, so that they run out."""
    stock, coarse_of = (2, 1, 3, 1, 2), np.array([0, 0, 1, 1, 2])
    y = np.repeat(np.arange(5), stock)
    law = in_turn(lambda left: two_urns(3, alpha, beta, left, [[0, 1], [2, 3], [4]]), stock, 2)
    partitioner = Pachinko(clients=3, alpha=float(alpha), beta=float(beta))
    hands = (histogram(deal(partitioner, y, seed, coarse_of[y]), y, 3)[:2] for seed in range(6000))
    assert_follows((tuple(hand.ravel().tolist()) for hand in hands), law)


def as_published(
    clients: int, alpha: float, beta: float, random: np.random.Generator
) -> np.ndarray:
    """Reddi et al.'s appendix on a federated CIFAR-100, a sample at a time; (clients, 100) counts of fine classes."""
    left = np.full(100, len(FINE) // 100)
    table = np.zeros((clients, 100), int)
    for m in range(clients):
        q = random.dirichlet(np.full(20, alpha)) * (left.reshape(20, 5).sum(1) > 0)
        r = random.dirichlet(np.full(5, beta), size=20) * (left.reshape(20, 5) > 0)
        for _ in range(len(FINE) // clients):
            c = random.choice(20, p=q / q.sum())
            y = 5 * c + random.choice(5, p=r[c] / r[c].sum())
            table[m, y] += 1
            left[y] -= 1
            if left[y] == 0:
                r[c, y % 5] = 0
                if r[c].sum() == 0:
                    q[c] = 0
    return table


def coarse_of_clients(table: np.ndarray) -> np.ndarray:
    return np.asarray((table.reshape(len(table), 20, 5).sum(2) > 0).sum(1))


def test_cifar_100_looks_as_published() -> None:
    """100 clients of 100 samples: how many coarse and fine classes a client has, and the share of its largest."""
    table = histogram(deal(Pachinko(clients=100), FINE, 0, COARSE), FINE, 100)
    theirs = as_published(100, 0.1, 10.0, np.random.default_rng(1))
    assert (table.sum(1) == 100).all()
    assert (table.sum(0) == 100).all()
    assert (theirs.sum(1) == 100).all()
    for statistic in (coarse_of_clients, lambda t: (t > 0).sum(1), lambda t: t.max(1)):
        assert stats.ks_2samp(statistic(table), statistic(theirs)).pvalue > 1e-3
    assert coarse_of_clients(table).mean() < 8
    fine_each = (table > 0).sum(1) / coarse_of_clients(table)
    assert (
        fine_each.mean() > 2.5
    )  # beta 10: nearly all fine classes of the coarse classes that it has


@given(
    clients=st.integers(1, 30),
    alpha=st.sampled_from([1e-9, 0.1, 100.0]),
    beta=st.sampled_from([1e-9, 0.1, 100.0]),
    seed=st.integers(0, 999),
)
def test_equal_sizes_and_nothing_left(clients: int, alpha: float, beta: float, seed: int) -> None:
    y = labels(150, 12, seed)
    client = deal(Pachinko(clients=clients, alpha=alpha, beta=beta), y, seed, y % 5)
    sizes = np.bincount(client, minlength=clients)
    assert sizes.sum() == 150
    assert sizes.max() - sizes.min() <= 1


def test_a_small_alpha_gives_few_coarse_classes_and_a_small_beta_few_fine_ones() -> None:
    tables = [
        histogram(deal(Pachinko(clients=50, alpha=alpha, beta=beta), FINE, 0, COARSE), FINE, 50)
        for alpha, beta in ((0.01, 10), (100, 10), (100, 0.01))
    ]
    few, many, few_fine = (coarse_of_clients(table).mean() for table in tables)
    assert few < 6 < 18 < many
    assert few_fine > 15
    assert (tables[2] > 0).sum() < (tables[1] > 0).sum() / 2


def test_coarse_labels_are_needed() -> None:
    with pytest.raises(InputError, match=r"^data\.partition\.name: 'pachinko' needs coarse labels"):
        deal(Pachinko(clients=5), labels(100))
