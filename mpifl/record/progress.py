"""The lines that a run prints while it is under way: one for each round."""

from __future__ import annotations

import numpy as np

from mpifl.errors import counted
from mpifl.record.summary import clock_text, score_text
from mpifl.record.tables import SCORES


def print_round(row: np.ndarray, rounds: int) -> None:
    """Print the line of a finished round at once; mpirun passes on whole lines.

    ``row`` is its /rounds row (an array of one), ``rounds`` the number of rounds of the job.
    """
    for line in notices(row):
        print(line)

    parts = [
        f"round {row['round'][0]}/{rounds}",
        f"virtual {clock_text(row['end_seconds'][0])}",
        *scores(row),
    ]
    counts = f"{row['completed'][0]:,} of {counted(int(row['asked'][0]), 'participant')} completed"
    outcomes = (
        ("dropped", "dropped out"),
        ("cut", "cut"),
        ("stale", "too late"),
        ("failed", "failed"),
    )
    lost = ", ".join(f"{row[name][0]:,} {text}" for name, text in outcomes if row[name][0])
    print(", ".join([*parts, counts + (f" ({lost})" if lost else "")]), flush=True)


def notices(row: np.ndarray) -> list[str]:
    """Return lines about what is unusual in a round, none when nothing is."""
    number = row["round"][0]
    lines = []
    if row["waited_seconds"][0] > 0:
        waited = clock_text(row["waited_seconds"][0])
        lines.append(
            f"round {number}: nobody was online; the clock moved on by {waited} to the next client"
            " that is"
        )
    if not row["completed"][0]:
        asked = int(row["asked"][0])
        who = (
            "the only participant did not finish"
            if asked == 1
            else f"none of the {asked:,} participants finished"
        )
        lines.append(f"round {number}: {who}; the model stays as it is")
    return lines


def scores(row: np.ndarray) -> list[str]:
    """Return the task's score and the loss as texts; none when the model was not tested."""
    tested = bool(np.isfinite(row["loss"][0]))
    return score_text({name: float(row[name][0]) for name in SCORES}).split(", ") if tested else []
