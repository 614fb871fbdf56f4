"""What a person sees while a run goes on: one plain line a round."""

from __future__ import annotations

import numpy as np

from mpifl.errors import counted
from mpifl.record.summary import clock_text, score_text
from mpifl.record.tables import ENDS, SCORES


def round_lines(row: np.ndarray, rounds: int) -> list[str]:
    """Return the lines of a round that has ended: what is out of the ordinary, then its own line.

    ``row`` is its /rounds row (an array of one), one of ``rounds``. mpirun passes on whole lines,
    also to a terminal.
    """
    asked = counted(int(row["asked"][0]), "participant")
    completed = f"{row['completed'][0]:,} of {asked} completed"
    others = losses_text(row)
    if others:
        completed += f" ({others})"

    if row["probed"][0]:
        completed += f", {counted(int(row['probed'][0]), 'candidate')} probed"

    number = f"round {row['round'][0]}/{rounds}"
    virtual = f"virtual {clock_text(row['end_seconds'][0])}"
    return [*notices(row), ", ".join([number, virtual, *scores(row), completed])]


def losses_text(row: np.ndarray) -> str:
    """Return how many participants of a round ended without an update, and how; "" if none did."""
    losses = [(row[name][0], text) for name, text in ENDS.items() if name != "completed"]
    return ", ".join(f"{count:,} {text}" for count, text in losses if count)


def notices(row: np.ndarray) -> list[str]:
    """Return a line for each thing that is out of the ordinary in a round."""
    number = row["round"][0]
    lines = []

    if row["waited_seconds"][0] > 0:
        waited = clock_text(row["waited_seconds"][0])
        lines.append(
            f"round {number}: nobody was online; the clock moved on by {waited}, until a client was"
        )
    if row["abandoned"][0]:
        lines.append(
            f"round {number}: abandoned: {row['abandoned'][0]:,} of {row['wanted'][0]:,} updates"
            " are fewer than clock.least_share; the model stays as it is"
        )
    elif not row["completed"][0]:
        asked = int(row["asked"][0])
        only = "the only participant did not finish"
        several = f"none of the {asked:,} participants finished"
        lines.append(f"round {number}: {only if asked == 1 else several}; the model stays as it is")
    return lines


def scores(row: np.ndarray) -> list[str]:
    """Return the objective's score and the loss, where the model was tested."""
    if not np.isfinite(row["loss"][0]):
        return []
    return score_text({name: float(row[name][0]) for name in SCORES}).split(", ")
