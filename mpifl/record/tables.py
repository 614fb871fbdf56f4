"""The tables of run.h5, and their rows for a finished round.

A table is a dict: column -> (dtype, description with unit).
"""

from __future__ import annotations

import math

import numpy as np

from mpifl.clock.timeline import Outcome
from mpifl.rounds.round_result import RoundResult, set_metrics

ROUND = {
    "round": ("<i4", "number from 1"),
    "start_seconds": ("<f8", "s of virtual time"),
    "end_seconds": ("<f8", "s of virtual time"),
    "waited_seconds": ("<f8", "s of virtual time in which nobody was online to be asked"),
    "online": (
        "<f8",
        "clients online at the start; an estimate where the population has more than 4096",
    ),
    "wanted": ("<i8", "updates that the round waits for; 0 where it ends at a moment, as semisync"),
    "asked": ("<i8", "participants who ended in the round"),
    "completed": ("<i8", "participants"),
    "dropped": ("<i8", "participants"),
    "cut": ("<i8", "participants"),
    "stale": ("<i8", "participants"),
    "failed": ("<i8", "participants"),
    "abandoned": ("<i8", "participants"),
    "probed": ("<i8", "candidates that told their loss before the participants were chosen"),
    "samples": ("<i8", "training samples gone through by those who completed"),
    "bytes_down": ("<i8", "B to participants"),
    "bytes_up": ("<i8", "B from participants"),
    "joules": ("<f8", "J of all participants who ended in the round"),
    "joules_wasted": ("<f8", "J of those of them whose update did not count"),
    "train_loss": ("<f8", "mean over those samples; NaN when nobody completed"),
    "accuracy": (
        "<f8",
        "share of the tested predictions that are right after the round; NaN when not tested",
    ),
    "top5": (
        "<f8",
        "share of those whose class is among the five most likely; NaN with five classes or fewer",
    ),
    "f1": ("<f8", "mean over the classes of their F1; NaN when nothing is classified"),
    "perplexity": ("<f8", "e to the loss, of a language task; else NaN"),
    "rmse": ("<f8", "root of the mean squared error, of a regression; else NaN"),
    "loss": ("<f8", "mean test loss after the round; NaN when not tested"),
    "client_accuracy": (
        "<f8",
        "mean over the tested clients of each one's accuracy; NaN when no single ones are tested",
    ),
    "client_loss": (
        "<f8",
        "mean over the tested clients of each one's loss; NaN when no single ones are tested",
    ),
    "worst_decile_accuracy": (
        "<f8",
        "as client_accuracy, of the tenth of the clients for whom it is lowest",
    ),
    "worst_decile_loss": (
        "<f8",
        "as client_loss, of the tenth of the clients for whom it is highest",
    ),
    "client_accuracy_variance": ("<f8", "variance of the accuracy over the tested clients"),
}
CLIENT = {
    "round": ("<i4", "number from 1"),
    "client": (
        "<i8",
        "client of the tested part, by its place in the data set; with evaluation.personal the"
        " client",
    ),
    "device": ("<i8", "device of the trace that the client has; -1 without evaluation.personal"),
    "scored": ("<i8", "predictions tested"),
    "accuracy": ("<f8", "share of them that are right; NaN in a regression"),
    "loss": ("<f8", "their mean loss"),
}
ENDS = {
    "completed": "completed",
    "dropped": "dropped out",
    "cut": "cut",
    "stale": "too late",
    "failed": "failed",
    "abandoned": "abandoned",
}
"""The columns of /rounds that count participants by how they ended, and that end in words."""

SCORES = ("accuracy", "top5", "f1", "perplexity", "rmse", "loss")
CLIENT_SCORES = (
    "client_accuracy",
    "client_loss",
    "worst_decile_accuracy",
    "worst_decile_loss",
    "client_accuracy_variance",
)
PARTICIPANT_COLUMNS = {
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
LOSS = {
    "round": ("<i4", "the round that was taken up again; number from 1"),
    "ranks": ("<i4", "ranks that were left"),
    "wall_seconds": ("<f8", "s since the run, or this part of it, began"),
}
TABLES = {"rounds": ROUND, "participants": PARTICIPANT_COLUMNS, "clients": CLIENT, "losses": LOSS}


def row_type(columns: dict[str, tuple[str, str]]) -> np.dtype:
    """Return the structured dtype of a table's rows."""
    return np.dtype([(name, kind) for name, (kind, _) in columns.items()])


def participant_rows(result: RoundResult) -> np.ndarray:
    """Return the /participants rows of a round, in the order of the timeline."""
    participants = result.plan.timeline.participants
    rows = np.empty(len(participants), row_type(PARTICIPANT_COLUMNS))
    rows["round"] = result.plan.round_number
    for name in set(PARTICIPANT_COLUMNS).intersection(participants.dtype.names or ()):
        rows[name] = participants[name]
    set_metrics(rows, result.metrics, ["loss"])
    return rows


def round_row(result: RoundResult, participants: np.ndarray, wanted: int) -> np.ndarray:
    """Return the /rounds row of a round (an array of one).

    ``participants`` are its /participants rows, ``wanted`` the updates that it waits for.
    """
    timeline = result.plan.timeline
    tested = result.tested
    row = np.zeros(1, row_type(ROUND))
    row["round"] = result.plan.round_number
    for name in ("start_seconds", "end_seconds", "waited_seconds"):
        row[name] = getattr(timeline, name)

    row["online"] = result.plan.online
    row["wanted"] = wanted
    probed = participants["outcome"] == Outcome.PROBED
    row["asked"] = len(participants) - np.count_nonzero(probed)
    for outcome in Outcome:
        row[outcome.name.lower()] = np.count_nonzero(participants["outcome"] == outcome)

    completed = participants["outcome"] == Outcome.COMPLETED
    done = participants[completed]
    row["samples"] = done["samples"].sum()
    for name in ("bytes_down", "bytes_up", "joules"):
        row[name] = participants[name].sum()
    row["joules_wasted"] = participants["joules"][~completed & ~probed].sum()
    row["train_loss"] = (
        (done["loss"] * done["samples"]).sum() / done["samples"].sum() if len(done) else np.nan
    )

    for name in (*SCORES, *CLIENT_SCORES):
        row[name] = np.nan
    if tested:
        for name, score in tested.scores.items():
            row[name] = score
        _score_clients(row, client_rows(result))
    return row


def client_rows(result: RoundResult) -> np.ndarray:
    """Return the /clients rows of a round, none if clients were not tested one by one."""
    clients = result.tested.clients if result.tested else ()
    rows = np.empty(len(clients), row_type(CLIENT))
    if result.tested and len(clients):
        clients = result.tested.clients
        rows["round"] = result.plan.round_number
        rows["client"] = clients["client"]
        rows["device"] = clients["device"]
        rows["scored"] = clients["scored"]
        classified = "accuracy" in result.tested.scores
        rows["accuracy"] = clients["correct"] / clients["scored"] if classified else np.nan
        rows["loss"] = clients["loss"] / clients["scored"]
    return rows


def _score_clients(row: np.ndarray, clients: np.ndarray) -> None:
    """Fill the columns of a /rounds row that come from its /clients rows."""
    if not len(clients):
        return

    tenth = math.ceil(len(clients) / 10)
    row["client_accuracy"] = clients["accuracy"].mean()
    row["client_loss"] = clients["loss"].mean()
    row["worst_decile_accuracy"] = np.sort(clients["accuracy"])[:tenth].mean()
    row["client_accuracy_variance"] = clients["accuracy"].var()
    row["worst_decile_loss"] = np.sort(clients["loss"])[-tenth:].mean()
