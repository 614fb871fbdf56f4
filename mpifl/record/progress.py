"""What a person sees while a run goes on: one plain line a round."""

from __future__ import annotations

import numpy as np

from mpifl.errors import counted
from mpifl.record.summary import clock_text, score_text
from mpifl.record.tables import SCORES


def print_round(row: np.ndarray, rounds: int) -> None:
    """Print the line of a round that has ended, at once; ``row`` is its /rounds row (an array of one), one of ``rounds``.

    mpirun passes on whole lines, also to a terminal.
    """
    for line in notices(row):
        print(line)
    parts = [f"round {row['round'][0]}/{rounds}", f"virtual {clock_text(row['end_seconds'][0])}", *scores(row)]
    counts = f"{row['completed'][0]:,} of {counted(int(row['asked'][0]), 'participant')} completed"
    kinds = (("dropped", "dropped out"), ("cut", "cut"), ("stale", "too late"), ("failed", "failed"))
    lost = ", ".join(f"{row[name][0]:,} {text}" for name, text in kinds if row[name][0])
    print(", ".join([*parts, counts + (f" ({lost})" if lost else "")]), flush=True)


def notices(row: np.ndarray) -> list[str]:
    """What a round has out of the ordinary."""
    number, said = row["round"][0], []
    if row["waited_seconds"][0] > 0:
        waited = clock_text(row["waited_seconds"][0])
        said.append(f"round {number}: nobody was online; the clock moved on by {waited} to the next client that is")
    if not row["completed"][0]:
        asked = int(row["asked"][0])
        who = "the only participant did not finish" if asked == 1 else f"none of the {asked:,} participants finished"
        said.append(f"round {number}: {who}; the model stays as it is")
    return said


def scores(row: np.ndarray) -> list[str]:
    """The task's score and the loss, where the model was tested."""
    tested = bool(np.isfinite(row["loss"][0]))
    return score_text({name: float(row[name][0]) for name in SCORES}).split(", ") if tested else []
