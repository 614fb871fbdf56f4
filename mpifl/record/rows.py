"""Rows of run.h5: what its tables have of a round that is over."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from mpifl.clock.timeline import Outcome
from mpifl.errors import TrainingError
from mpifl.record.plain_bytes import NOT_CODED, Plain, plain_bytes
from mpifl.record.tables import (
    ANALYTICS,
    CLIENT,
    CLIENT_SCORES,
    PARTICIPANT_COLUMNS,
    ROUND,
    SCORES,
    row_type,
)
from mpifl.rounds.plan.round_result import RoundResult, set_metrics


def participant_rows(result: RoundResult) -> np.ndarray:
    """Return the /participants rows of a round, in the order of the timeline."""
    participants = result.plan.timeline.participants
    rows = np.empty(len(participants), row_type(PARTICIPANT_COLUMNS))
    rows["round"] = result.plan.round_number
    for name in set(PARTICIPANT_COLUMNS).intersection(participants.dtype.names or ()):
        rows[name] = participants[name]
    set_metrics(rows, result.metrics, ["loss"])
    return rows


def round_row(
    result: RoundResult,
    participants: np.ndarray,
    wanted: int,
    plain: Plain = NOT_CODED,
    own: Iterable[str] = (),
) -> np.ndarray:
    """Return the /rounds row of a round (an array of one).

    Args:
        result: The round.
        participants: Its /participants rows.
        wanted: The updates that it waits for.
        plain: What a participant would transfer without ``exchange``.
        own: The measures of the job's objective.

    Raises:
        TrainingError: When the objective gives a score that is no column.
    """
    timeline = result.plan.timeline
    tested = result.tested
    row = np.zeros(1, row_type({**ROUND, **dict.fromkeys(own, ("<f8", ""))}))
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
    row["plain_bytes_down"] = plain_bytes(timeline, "down", plain.down)
    row["plain_bytes_up"] = plain_bytes(timeline, "up", plain.up)
    row["joules_wasted"] = participants["joules"][~completed & ~probed].sum()
    row["train_loss"] = (
        (done["loss"] * done["samples"]).sum() / done["samples"].sum() if len(done) else np.nan
    )

    for name in (*SCORES, *CLIENT_SCORES, *own):
        row[name] = np.nan
    if tested:
        for name, score in tested.scores.items():
            if name not in (*SCORES, *own):
                raise TrainingError(
                    f"objective: metrics() returns {name!r}, which is not in its measures; allowed:"
                    f" {', '.join((*SCORES, *own))}"
                )
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


def analytics_rows(result: RoundResult) -> np.ndarray:
    """Return the /analytics rows of a round, none of an algorithm that trains a model."""
    rows = np.empty(len(result.found), row_type(ANALYTICS))
    rows["round"] = result.plan.round_number
    for name in result.found.dtype.names or ():
        rows[name] = result.found[name]
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
