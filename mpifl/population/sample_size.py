"""How many clients a test needs, so that their mean score tells that of all clients.

Serfling (1974), Probability inequalities for the sum in sampling without replacement, the form of
Hoeffding's bound for finite populations: of N clients whose scores lie within a range of width r,
the mean score of n drawn uniformly is at least d away from that of all with a probability of at
most

    2 exp(-2 n d^2 / ((1 - (n - 1) / N) r^2))

Oort's test selector (arXiv 2010.06081, section 5.1) is the same bound without the factor 2, which
holds for a deviation to one side only.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def clients_to_test(
    clients: int, deviation: float, confidence: float = CONFIDENCE, spread: float = 1.0
) -> int:
    """Return how many of ``clients`` are enough for a deviation of less than ``deviation``.

    With a probability of at least ``confidence``. Scores lie within a range of width ``spread``.
    """
    doubt = math.log(2 / (1 - confidence)) * spread**2
    return min(clients, math.ceil((clients + 1) / (1 + 2 * clients * deviation**2 / doubt)))


def deviation_of(
    clients: int, tested: int, confidence: float = CONFIDENCE, spread: float = 1.0
) -> float:
    """Return how far the mean score of ``tested`` clients may be from that of all ``clients``.

    With a probability of at least ``confidence`` it is nearer. The inverse of ``clients_to_test``.
    """
    if tested >= clients:
        return 0.0
    doubt = math.log(2 / (1 - confidence)) * spread**2
    return math.sqrt(doubt * (1 - (tested - 1) / clients) / (2 * tested))
