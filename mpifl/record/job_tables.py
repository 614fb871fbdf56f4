"""The tables of the run.h5 of a job, with the columns that only some jobs have."""

from __future__ import annotations

from mpifl.job import Job
from mpifl.job.metrics import HIGHER_IS_BETTER
from mpifl.record.attack_columns import PARTICIPANT_ATTACKED, ROUND_ATTACKED
from mpifl.record.battery_columns import PARTICIPANT_BATTERY, ROUND_BATTERY
from mpifl.record.contribution_columns import PARTICIPANT_JUDGED, ROUND_JUDGED
from mpifl.record.participant_columns import own_columns
from mpifl.record.secure_columns import PARTICIPANT_SECURED, ROUND_SECURED
from mpifl.record.tables import ROUND_PRIVATE, TABLES, Columns

ROUND_DIVERGED: Columns = {
    "diverged": (
        "<u1",
        "1: the model has diverged: its step gave no finite numbers and was not taken, or a test"
        " loss was not finite and counted as 4,194,304",
    )
}


def tables_of(job: Job) -> dict[str, Columns]:
    """Return the tables of the run.h5 of a job: column -> (dtype, description with unit)."""
    rounds = TABLES["rounds"] | _measure_columns(job)
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


def higher_is_better(job: Job) -> list[str]:
    """Return the columns of /rounds of a job of which the higher value is the better one."""
    higher = {*HIGHER_IS_BETTER, *job.objective.higher_is_better}
    return [name for name in tables_of(job)["rounds"] if name in higher]


def _measure_columns(job: Job) -> Columns:
    """Return the columns that /rounds has for the measures of a job's objective."""
    return {name: ("<f8", text) for name, text in job.objective.measures.items()}
