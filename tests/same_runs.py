"""What two runs of the same experiment differ in, on other ranks, resumed, or after a loss."""

from __future__ import annotations

from tests.launching import MEASURED, Finished

OF_THE_WAY = (*MEASURED, "ranks", "resumed_from", "ranks_lost")
"""Entries of summary.json about how a run went, not what came of it."""


def differences(first: Finished, second: Finished) -> list[str]:
    """Return what differs in the summaries and tables of two runs that have ended: nothing, as promised."""
    found = []
    for key in sorted({*first.summary, *second.summary} - {*OF_THE_WAY}):
        before, after = first.summary.get(key), second.summary.get(key)
        if before != after:
            found.append(f"summary.json {key}: {before} and {after}")
    for name in ("rounds", "participants", "clients", "messages", "analytics"):
        one, other = first.table(name), second.table(name)
        if one.tobytes() != other.tobytes():
            columns = [
                key for key in one.dtype.names or () if one[key].tobytes() != other[key].tobytes()
            ]
            found.append(f"run.h5 /{name}: {len(one)} and {len(other)} rows; {', '.join(columns)}")
    return found
