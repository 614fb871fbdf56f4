"""The tables of run.h5 and how a finished round becomes their rows."""

from __future__ import annotations

import numpy as np

from mpifl.clock.timeline import Outcome
from mpifl.result import RoundResult

ROUND = {
    "round": ("<i4", "number from 1"),
    "start_seconds": ("<f8", "s of virtual time"),
    "end_seconds": ("<f8", "s of virtual time"),
    "waited_seconds": ("<f8", "s of virtual time in which nobody was online to be asked"),
    "online": ("<f8", "clients online at the start; an estimate where the population has more than 4096"),
    "asked": ("<i8", "participants who ended in the round"),
    "completed": ("<i8", "participants"),
    "dropped": ("<i8", "participants"),
    "cut": ("<i8", "participants"),
    "stale": ("<i8", "participants"),
    "samples": ("<i8", "training samples gone through by those who completed"),
    "bytes_down": ("<i8", "B to participants"),
    "bytes_up": ("<i8", "B from participants"),
    "joules": ("<f8", "J of all participants who ended in the round"),
    "joules_wasted": ("<f8", "J of those of them whose update did not count"),
    "train_loss": ("<f8", "mean over those samples; NaN when nobody completed"),
    "accuracy": ("<f8", "share of test samples classified right after the round; NaN when not tested"),
    "loss": ("<f8", "mean test loss after the round; NaN when not tested"),
}
PARTICIPANT = {
    "round": ("<i4", "number from 1"),
    "client": ("<i8", "client"),
    "base": ("<i4", "model version trained from; the initial model is 0"),
    "staleness": ("<i4", "versions by which the model had moved on when the update counted"),
    "outcome": ("<u1", ", ".join(f"{outcome.value} {outcome.name.lower()}" for outcome in Outcome)),
    "start_seconds": ("<f8", "s of virtual time"),
    "download_seconds": ("<f8", "s that the whole download takes"),
    "compute_seconds": ("<f8", "s that the whole training takes"),
    "upload_seconds": ("<f8", "s that the whole upload takes"),
    "stop_seconds": ("<f8", "s of virtual time at which it finished, dropped out or was cut"),
    "steps": ("<i8", "SGD steps planned"),
    "samples": ("<i8", "training samples those steps go through"),
    "bytes_down": ("<i8", "B that went over the air"),
    "bytes_up": ("<i8", "B that went over the air"),
    "joules": ("<f8", "J of computing and of the radio by then"),
    "loss": ("<f8", "mean training loss; NaN for those who did not complete"),
}
TABLES = {"rounds": ROUND, "participants": PARTICIPANT}


def row_type(columns: dict[str, tuple[str, str]]) -> np.dtype:
    """The structured type of a table's rows."""
    return np.dtype([(name, kind) for name, (kind, _) in columns.items()])


def participant_rows(result: RoundResult) -> np.ndarray:
    """The /participants rows of a round, in the order of the timeline."""
    participants = result.plan.timeline.participants
    rows = np.empty(len(participants), row_type(PARTICIPANT))
    rows["round"] = result.plan.round_number
    for name in set(PARTICIPANT).intersection(participants.dtype.names or ()):
        rows[name] = participants[name]
    rows["loss"] = np.nan
    completed = np.flatnonzero(rows["outcome"] == Outcome.COMPLETED)
    by_client = completed[np.argsort(rows["client"][completed])]
    if len(result.metrics):  # nothing is trained when only the time is asked for
        rows["loss"][by_client] = result.metrics["loss"]
    return rows


def round_row(result: RoundResult, participants: np.ndarray) -> np.ndarray:
    """The /rounds row of a round, an array of one."""
    timeline, tested = result.plan.timeline, result.tested
    row = np.zeros(1, row_type(ROUND))
    row["round"] = result.plan.round_number
    for name in ("start_seconds", "end_seconds", "waited_seconds"):
        row[name] = getattr(timeline, name)
    row["online"], row["asked"] = result.plan.online, len(participants)
    for outcome in Outcome:
        row[outcome.name.lower()] = timeline.count(outcome)
    done = participants[participants["outcome"] == Outcome.COMPLETED]
    row["samples"] = done["samples"].sum()
    for name in ("bytes_down", "bytes_up", "joules"):
        row[name] = participants[name].sum()
    row["joules_wasted"] = participants["joules"][participants["outcome"] != Outcome.COMPLETED].sum()
    row["train_loss"] = (done["loss"] * done["samples"]).sum() / done["samples"].sum() if len(done) else np.nan
    row["accuracy"], row["loss"] = (tested.accuracy, tested.loss) if tested else (np.nan, np.nan)
    return row
