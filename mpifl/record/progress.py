"""What a person sees while a run goes on: one plain line a round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpifl.errors import counted
from mpifl.record.scores import scores_of
from mpifl.record.summary import score_text
from mpifl.record.wording import ENDS, clock_text, losses_text


def round_lines(row: np.ndarray, rounds: int, measures: Sequence[str] = ()) -> list[str]:
    """Return the lines of a round that has ended: what is out of the ordinary, then its own line.

    ``row`` is its /rounds row (an array of one), one of ``rounds``; ``measures`` are those of the
    objective's own. mpirun passes on whole lines, also to a terminal.
    """
    asked = counted(int(row["asked"][0]), "participant")
    completed = f"{row['completed'][0]:,} of {asked} completed"
    others = losses_text(ends(row))
    if others:
        completed += f" ({others})"

    if row["probed"][0]:
        completed += f", {counted(int(row['probed'][0]), 'candidate')} probed"

    number = f"round {row['round'][0]}/{rounds}"
    virtual = f"virtual {clock_text(row['end_seconds'][0])}"
    return [*notices(row), ", ".join([number, virtual, *scores(row, measures), completed])]


def ends(row: np.ndarray) -> dict[str, int]:
    """Return how many participants of a round ended in each of ENDS."""
    return {name: int(row[name][0]) for name in ENDS}


def notices(row: np.ndarray) -> list[str]:
    """Return a line for each thing that is out of the ordinary in a round."""
    number = row["round"][0]
    lines = []

    if row["waited_seconds"][0] > 0:
        waited = clock_text(row["waited_seconds"][0])
        lines.append(
            f"round {number}: nobody was online; the clock moved on by {waited}, until a client was"
        )
    if _void(row):
        uploaded = row["shared"][0] - row["left"][0]
        noise = " or its privacy" if "epsilon" in (row.dtype.names or ()) else ""
        lines.append(
            f"round {number}: void: of {counted(int(row['shared'][0]), 'participant')} that had"
            f" shared secrets {uploaded:,} uploaded in time and {row['answered'][0]:,} helped to"
            f" unmask the sum, which are too few for the job's secure_aggregation{noise}; the model"
            " stays as it is"
        )
    elif row["abandoned"][0]:
        lines.append(
            f"round {number}: abandoned: {row['abandoned'][0]:,} of"
            f" {counted(row['wanted'][0], 'update')}"
            " are fewer than clock.least_share; the model stays as it is"
        )
    elif not row["asked"][0]:
        lines.append(f"round {number}: chance named no participant")
    elif not row["completed"][0]:
        asked = int(row["asked"][0])
        only = "the only participant did not finish"
        several = f"none of the {counted(asked, 'participant')} finished"
        lines.append(f"round {number}: {only if asked == 1 else several}; the model stays as it is")
    return lines


def _void(row: np.ndarray) -> bool:
    """Return whether the round's secure aggregation failed."""
    return "void" in (row.dtype.names or ()) and bool(row["void"][0])


def scores(row: np.ndarray, measures: Sequence[str] = ()) -> list[str]:
    """Return the objective's score, the loss and its own measures, where the model was tested."""
    if not np.isfinite(row["loss"][0]):
        return []
    return score_text(scores_of(row), measures).split(", ")
