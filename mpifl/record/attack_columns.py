"""Columns of run.h5 that only runs with attacks have."""

from __future__ import annotations

import numpy as np

from mpifl.attacks.attackers import Attackers
from mpifl.clock.timeline import Outcome
from mpifl.record.tables import Columns, with_columns
from mpifl.rounds.plan.round_result import RoundResult, trained_by_client

ROUND_ATTACKED: Columns = {
    "attackers": ("<i8", "participants who completed the round and attack"),
    "rejected": (
        "<i8",
        "updates that the aggregation rule left out; 0 with a rule that decides by coordinate",
    ),
    "rejected_attackers": ("<i8", "those of them that came from attackers"),
    "attack_success": (
        "<f8",
        "share of the test samples that the attack is on to which the model gives the class that"
        " the attackers want; NaN when not tested, and with attacks that want no certain class",
    ),
}
PARTICIPANT_ATTACKED: Columns = {
    "attacks": ("<u4", "bit i: the client is under attack i of the job; 0: it is honest"),
    "rejected": ("<u1", "1: the aggregation rule left its update out"),
}


def marked_participants(rows: np.ndarray, result: RoundResult, attackers: Attackers) -> np.ndarray:
    """Return /participants rows (n,) of a round with the columns about attacks."""
    rows = with_columns(rows, PARTICIPANT_ATTACKED)
    rows["attacks"] = attackers.marks(rows["client"], rows["round"])
    rows["rejected"][trained_by_client(rows)] = result.metrics["rejected"]
    return rows


def marked_round(row: np.ndarray, result: RoundResult, participants: np.ndarray) -> np.ndarray:
    """Return a /rounds row (an array of one) with the columns about attacks.

    ``participants`` are its /participants rows with theirs.
    """
    row = with_columns(row, ROUND_ATTACKED)
    completed = participants["outcome"] == Outcome.COMPLETED
    attack = participants["attacks"] > 0
    rejected = participants["rejected"] > 0
    row["attackers"] = np.count_nonzero(completed & attack)
    row["rejected"] = np.count_nonzero(rejected)
    row["rejected_attackers"] = np.count_nonzero(rejected & attack)
    row["attack_success"] = result.tested.attack_success if result.tested else np.nan
    return row
