"""What the tests of partitioners share: labels, hands dealt, and the exact law of a draw without replacement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from scipy import stats

from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.seeds import Purpose, generator

Counts = tuple[int, ...]
Law = dict[Counts, Fraction]
"""The probability of each outcome."""


def labels(samples: int, classes: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(classes, size=samples)


def deal(
    partitioner: Partitioner, y: np.ndarray, seed: int = 0, coarse: np.ndarray | None = None
) -> np.ndarray:
    return partitioner.deal(Samples(len(y), y, coarse), generator(seed, Purpose.PARTITION))


def histogram(client: np.ndarray, y: np.ndarray, clients: int) -> np.ndarray:
    """Samples (clients, classes) of each class that each client holds; classes are 0 to y.max()."""
    table = np.zeros((clients, int(y.max()) + 1), np.int64)
    np.add.at(table, (client, y), 1)
    return table


def entropy_bits(table: np.ndarray) -> float:
    """The mean over samples of the entropy (bits) of their client's labels; table (clients, classes) of counts."""
    sizes = table.sum(1)
    share = table / np.maximum(sizes, 1)[:, None]
    entropy = -(share * np.log2(share, out=np.zeros_like(share), where=share > 0)).sum(1)
    return float((entropy * sizes).sum() / sizes.sum())


def urn(count: int, alpha: Iterable[Fraction], stock: Counts) -> Law:
    """The law of how many of each kind one gets: a mixture from Dirichlet(alpha), draws from it, kinds that run out left out.

    A Dirichlet mixture that is drawn from is Polya's urn: the next kind is k with a probability in proportion to alpha_k plus
    the draws of k so far. Here among the kinds that are left.
    """
    alpha = list(alpha)
    law: Law = {(0,) * len(stock): Fraction(1)}
    for _ in range(count):
        after: Law = defaultdict(Fraction)
        for drawn, chance in law.items():
            weight = [
                a + n if n < s else Fraction(0) for a, n, s in zip(alpha, drawn, stock, strict=True)
            ]
            for kind, w in enumerate(weight):
                if w:
                    after[tuple(n + (k == kind) for k, n in enumerate(drawn))] += (
                        chance * w / sum(weight)
                    )
        law = after
    return law


def in_turn(law_of: Callable[[Counts], Law], stock: Counts, clients: int) -> Law:
    """The law of what the first ``clients`` get, one after the other, joined into one tuple."""
    law: Law = {(): Fraction(1)}
    for _ in range(clients):
        after: Law = defaultdict(Fraction)
        for so_far, chance in law.items():
            hands = np.reshape(so_far, (-1, len(stock)))
            left = tuple(int(s) for s in np.array(stock) - hands.sum(0, dtype=int))
            for hand, next_chance in law_of(left).items():
                after[so_far + hand] += chance * next_chance
        law = after
    return law


def assert_follows(outcomes: Iterable[Counts], law: Law) -> None:
    """Chi-square: the outcomes come from the law. Fails one time in 100,000 when they do, and the seeds are fixed."""
    found = Counter(outcomes)
    assert set(found) <= set(law)
    total = sum(found.values())
    expected = {outcome: float(chance) * total for outcome, chance in law.items()}
    common = [outcome for outcome in law if expected[outcome] >= 5]
    assert len(common) >= 3
    observed = [found[outcome] for outcome in common]
    wanted = [expected[outcome] for outcome in common]
    rare = total - sum(wanted)
    if rare > 1e-9:
        observed.append(total - sum(observed))
        wanted.append(rare)
    assert stats.chisquare(observed, wanted).pvalue > 1e-5
