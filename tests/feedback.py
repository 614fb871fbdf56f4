"""A round that is over, as a selection rule learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpifl.population.population import Population
from mpifl.selection.feedback import FEEDBACK, Feedback
from tests.asking import WORK


def feedback(
    population: Population, round_number: int, clients: Sequence[int], **columns: Any
) -> Feedback:
    """Of participants that completed, or as ``columns`` of FEEDBACK say; the round lasted 10 s."""
    rows = np.zeros(len(clients), FEEDBACK)
    rows["client"] = clients
    rows["start_seconds"] = 10.0 * round_number
    for name, values in columns.items():
        rows[name] = values
    begin = 10.0 * round_number
    return Feedback(round_number, begin, begin + 10, rows, population, WORK)
