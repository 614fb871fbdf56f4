"""Which columns of /rounds are scores of the model."""

from __future__ import annotations

import numpy as np

from mpifl.record.battery_columns import ROUND_BATTERY
from mpifl.record.contribution_columns import ROUND_JUDGED
from mpifl.record.job_tables import ROUND_DIVERGED
from mpifl.record.secure_columns import ROUND_SECURED
from mpifl.record.tables import ROUND, ROUND_PRIVATE, SCORES

NO_SCORES = {
    **ROUND,
    **ROUND_PRIVATE,
    **ROUND_DIVERGED,
    **ROUND_JUDGED,
    **ROUND_SECURED,
    **ROUND_BATTERY,
}
"""All columns of /rounds but those of attacks and of an objective's measures."""


def scores_of(row: np.ndarray) -> dict[str, float]:
    """Return the scores of a /rounds row (an array of one), without those of single clients.

    With the measures of the job's objective, and the attack success of a run with attacks.
    """
    return {name: float(row[name][0]) for name in (*SCORES, *own_scores(row.dtype))}


def own_scores(columns: np.dtype) -> list[str]:
    """Return the columns of /rounds that are scores which only some jobs have."""
    names = columns.names or ()
    return [name for name in names if name not in NO_SCORES and columns[name].kind == "f"]
