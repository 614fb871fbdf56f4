"""Columns of run.h5 that only runs have in which contributions are evaluated."""

from __future__ import annotations

import numpy as np

from mpifl.record.tables import Columns, with_columns
from mpifl.rounds.plan.round_result import RoundResult, trained_by_client

ROUND_JUDGED: Columns = {
    "utility_before": (
        "<f8",
        "contribution.metric of the model before the round on contribution.part; negative where"
        " less is better; NaN where contributions were not evaluated",
    ),
    "utility_after": ("<f8", "the same of the model with the updates of all"),
    "evaluations": ("<i8", "models of coalitions that were tested for the contributions"),
}
PARTICIPANT_JUDGED: Columns = {
    "contribution": (
        "<f8",
        "what its update was worth, as contribution.name says, in units of the utility; NaN for"
        " those who did not complete, and in rounds that were not evaluated",
    ),
}


def judged_participants(rows: np.ndarray, result: RoundResult) -> np.ndarray:
    """Return /participants rows (n,) of a round with what each has contributed."""
    rows = with_columns(rows, PARTICIPANT_JUDGED)
    rows["contribution"] = np.nan
    rows["contribution"][trained_by_client(rows)] = result.metrics["contribution"]
    return rows


def judged_round(row: np.ndarray, result: RoundResult) -> np.ndarray:
    """Return a /rounds row (an array of one) with the columns about contributions."""
    row = with_columns(row, ROUND_JUDGED)
    row["utility_before"], row["utility_after"], row["evaluations"] = result.judged
    return row
