"""The tables of run.h5: their columns.

Some jobs have more columns (``job_tables.py``).
"""

from __future__ import annotations

import numpy as np

from mpifl.clock.timeline import Outcome

Columns = dict[str, tuple[str, str]]
"""A table: column -> (dtype, description with unit)."""

ROUND: Columns = {
    "round": ("<i4", "number from 1"),
    "start_seconds": ("<f8", "s of virtual time"),
    "end_seconds": ("<f8", "s of virtual time"),
    "waited_seconds": ("<f8", "s of virtual time in which nobody was online to be asked"),
    "online": (
        "<f8",
        "clients online at the start; an estimate where the population has more than 4096",
    ),
    "wanted": (
        "<i8",
        "updates that the round waits for, or expects; 0 where it ends at a moment, as semisync",
    ),
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
    "plain_bytes_down": ("<i8", "B that bytes_down would be without exchange.down"),
    "plain_bytes_up": ("<i8", "B that bytes_up would be without exchange.up"),
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


ROUND_PRIVATE: Columns = {
    "epsilon": ("<f8", "spent until the end of the round, at privacy.delta, for any one client"),
    "update_norm": ("<f8", "bound on the Euclidean norm of an update; of a model with nbafl"),
    "noise": (
        "<f8",
        "standard deviation of the noise on each number: of the mean, with a mechanism of the"
        " clients of an upload",
    ),
}
"""Columns of runs with privacy."""


CLIENT: Columns = {
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
SCORES = ("accuracy", "top5", "f1", "perplexity", "rmse", "loss")
"""Metrics that every run has a column for; those of an objective's own are columns behind all."""

CLIENT_SCORES = (
    "client_accuracy",
    "client_loss",
    "worst_decile_accuracy",
    "worst_decile_loss",
    "client_accuracy_variance",
)
PARTICIPANT_COLUMNS: Columns = {
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
LOSS: Columns = {
    "round": ("<i4", "the round that was taken up again; number from 1"),
    "ranks": ("<i4", "ranks that were left"),
    "wall_seconds": ("<f8", "s since the run, or this part of it, began"),
}
MESSAGE = {
    "round": ("<i4", "number from 1"),
    "sent": ("<i8", "messages of a protocol that were sent since the round before"),
    "delivered": ("<i8", "messages that came to their receivers"),
    "lost": ("<i8", "messages that were lost because a client went offline"),
    "refused": ("<i8", "messages that were refused because their receiver was offline"),
    "bytes": ("<i8", "B of the messages that were delivered"),
    "distance": (
        "<f8",
        "root mean square of the Euclidean distances of the clients' models from their mean",
    ),
}
ANALYTICS: Columns = {
    "round": ("<i4", "number from 1"),
    "quantity": (
        "|S16",
        "what was found until then without a model: mean, count, ...",
    ),
    "at": ("<f8", "of which value or share; NaN where it is of none"),
    "value": ("<f8", "the number"),
}
TABLES = {
    "rounds": ROUND,
    "participants": PARTICIPANT_COLUMNS,
    "clients": CLIENT,
    "messages": MESSAGE,
    "analytics": ANALYTICS,
    "losses": LOSS,
}


def row_type(columns: Columns) -> np.dtype:
    """Return the structured dtype of a table's rows."""
    return np.dtype([(name, kind) for name, (kind, _) in columns.items()])


def with_columns(rows: np.ndarray, columns: Columns) -> np.ndarray:
    """Return structured rows (n,) with further columns, 0."""
    wider = np.zeros(len(rows), np.dtype(rows.dtype.descr + row_type(columns).descr))
    for name in rows.dtype.names or ():
        wider[name] = rows[name]
    return wider
