"""Columns of run.h5 that only some runs have; those of attacks, and of divergence."""

from __future__ import annotations

import numpy as np

from mpifl.attacks.attackers import Attackers
from mpifl.clock.timeline import Outcome
from mpifl.job import Job
from mpifl.record.battery_columns import PARTICIPANT_BATTERY, ROUND_BATTERY
from mpifl.record.contribution_columns import PARTICIPANT_JUDGED, ROUND_JUDGED
from mpifl.record.participant_columns import own_columns
from mpifl.record.secure_columns import PARTICIPANT_SECURED, ROUND_SECURED
from mpifl.record.tables import ROUND_PRIVATE, TABLES, Columns, measure_columns, with_columns
from mpifl.rounds.round_result import RoundResult

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
ROUND_DIVERGED: Columns = {
    "diverged": (
        "<u1",
        "1: the model has diverged: its step gave no finite numbers and was not taken, or a test"
        " loss was not finite and counted as 4,194,304",
    )
}


def tables_of(job: Job) -> dict[str, Columns]:
    """Return the tables of the run.h5 of a job: column -> (dtype, description with unit)."""
    rounds = TABLES["rounds"] | measure_columns(job)
    participants = TABLES["participants"] | own_columns(job)
    if job.attacks:
        rounds |= ROUND_ATTACKED
        participants |= PARTICIPANT_ATTACKED
    if job.privacy.private:
        rounds |= ROUND_PRIVATE
    if job.runtime.on_divergence == "record":
        rounds |= ROUND_DIVERGED
    if job.contribution.active:
        rounds |= ROUND_JUDGED
        participants |= PARTICIPANT_JUDGED
    if job.secure_aggregation.active:
        rounds |= ROUND_SECURED
        participants |= PARTICIPANT_SECURED
    if job.clock.battery.counted:
        rounds |= ROUND_BATTERY
        participants |= PARTICIPANT_BATTERY
    return {**TABLES, "rounds": rounds, "participants": participants}


def marked_participants(rows: np.ndarray, result: RoundResult, attackers: Attackers) -> np.ndarray:
    """Return /participants rows (n,) of a round with the columns about attacks."""
    rows = with_columns(rows, PARTICIPANT_ATTACKED)
    rows["attacks"] = attackers.marks(rows["client"], rows["round"])
    completed = np.flatnonzero(np.isin(rows["outcome"], (Outcome.COMPLETED, Outcome.FAILED)))
    by_client = completed[np.argsort(rows["client"][completed])]
    rows["rejected"][by_client] = result.metrics["rejected"]
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
