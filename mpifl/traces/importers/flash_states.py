"""FLASH's state traces: what each phone reported of its charger, network and screen (Yang et al., WWW 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mpifl.errors import InputError
from mpifl.traces.importers.importer import TraceImporter
from mpifl.traces.importers.parsed_trace import ParsedTrace
from mpifl.traces.importers.parsing import only, read_json, shown
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import Slots, check_slots, of_counts

CHARGING, WIFI, LOCKED, SCREEN_OFF = range(4)
STATES: dict[str, tuple[int, bool]] = {
    "battery_charged_on": (CHARGING, True),
    "battery_charged_off": (CHARGING, False),
    "wifi": (WIFI, True),
    **dict.fromkeys(("unknown", "2g", "3g", "4g", "5g"), (WIFI, False)),
    "screen_lock": (LOCKED, True),
    "screen_unlock": (LOCKED, False),
    "screen_off": (SCREEN_OFF, True),
    "screen_on": (SCREEN_OFF, False),
}
"""What a message changes. A level of the battery ("87.0%") changes nothing."""

IDLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "locked": lambda known: known[:, LOCKED],
    "screen-off": lambda known: known[:, SCREEN_OFF],
    "either": lambda known: known[:, LOCKED] | known[:, SCREEN_OFF],
}


@dataclass(frozen=True)
class _User:
    """Slots in seconds since the epoch (of local time), and the first and last moment that was reported."""

    start: np.ndarray
    end: np.ndarray
    first: float
    last: float
    unsorted: int


class FlashStates(TraceImporter):
    """FLASH's state_traces.json: what phones reported of their charger, network and screen.

    It is {user: {"messages": lines of a time, a tab and a state such as battery_charged_on, ...}}. As in FLASH's own timer a
    phone is online while it is idle, charging and on Wi-Fi, a state holds until another is reported, and before its first
    report each is taken to be off. ``idle`` is locked (FLASH's own), screen-off or either. A user counts for the whole days
    from its first message on; second 0 is midnight of its local time, so the days are turned about, and of less than a day the
    rest of that day is offline. Messages that are out of order are sorted by time, and said. Raises InputError naming file,
    user, and message.
    """

    files: ClassVar[str] = "STATE_TRACES"
    idle: Literal["locked", "screen-off", "either"] = Field(
        "locked", description="When a phone counts as idle."
    )

    def read(self, paths: Sequence[Path]) -> ParsedTrace:
        """See TraceImporter."""
        path = only(paths, 1, 1, "one state_traces.json")[0]
        entries = read_json(path)
        if not isinstance(entries, dict) or not entries:
            raise InputError(
                f"{path}: {shown(entries)} at its top; expected {{user: {{'messages': ...}}}}, not empty"
            )
        users = [
            _user(f"{path}: user {name}", entry, IDLE[self.idle]) for name, entry in entries.items()
        ]
        midnight = min(user.first for user in users) // DAY_SECONDS * DAY_SECONDS
        patterns = [_pattern(user, midnight) for user in users]
        counts = np.array([len(start) for start, _, _ in patterns])
        start, end = (np.concatenate([pattern[which] for pattern in patterns]) for which in (0, 1))
        slots: Slots = of_counts(
            counts, start, end, np.array([period for _, _, period in patterns])
        )
        check_slots(path, list(entries), slots)
        unsorted = [user.unsorted for user in users if user.unsorted]
        never = np.count_nonzero(counts == 0)
        notes = [
            f"{path.name}: online while idle ({self.idle}), charging and on Wi-Fi; {never} of {len(users)} never are"
        ]
        if unsorted:
            notes.append(
                f"{path.name}: {sum(unsorted)} messages of {len(unsorted)} users were out of order; sorted by time"
            )
        short = sum(user.last - user.first < DAY_SECONDS for user in users)
        if short:
            notes.append(
                f"{path.name}: {short} users report for less than a day; the rest of that day they are offline"
            )
        return ParsedTrace(
            f"FLASH's state traces {path.name}",
            "BSD-2-Clause (FLASH)",
            slots=slots,
            notes=tuple(notes),
        )


def _user(where: str, entry: object, idle: Callable[[np.ndarray], np.ndarray]) -> _User:
    messages = entry.get("messages") if isinstance(entry, dict) else None
    if not isinstance(messages, str):
        raise InputError(f"{where}: {shown(entry)}; expected a dictionary with the text 'messages'")
    rows = [line.strip().split("\t") for line in messages.split("\n") if line.strip()]
    for row in rows:
        if len(row) != 2:
            raise InputError(
                f"{where}: message {shown(chr(9).join(row))}; expected a time, a tab and a state"
            )
    if not rows:
        raise InputError(f"{where}: no messages")
    seconds = _seconds(where, [row[0].strip() for row in rows])
    order = np.argsort(seconds, kind="stable")
    known = _states(where, [rows[at][1].strip().lower() for at in order])
    seconds_sorted = seconds[order]
    ready = idle(known) & known[:, CHARGING] & known[:, WIFI]
    # Of messages of the same second the last one counts.
    last = np.append(seconds_sorted[1:] != seconds_sorted[:-1], True)
    at, ready = seconds_sorted[last], ready[last]
    edges = np.diff(ready.astype(np.int8), prepend=0)
    start, end = at[edges == 1], at[edges == -1]
    if ready[-1]:  # until the last message, which says nothing of what comes behind it
        end = np.append(end, at[-1])
    keep = end > start
    return _User(
        start[keep],
        end[keep],
        float(at[0]),
        float(at[-1]),
        int(np.count_nonzero(np.diff(seconds) < 0)),
    )


def _seconds(where: str, stamps: list[str]) -> np.ndarray:
    """Local times "YYYY-MM-DD hh:mm:ss" as seconds since 1970."""
    try:
        return (
            np.array([_iso(stamp) for stamp in stamps], "datetime64[s]")
            .astype(np.int64)
            .astype(np.float64)
        )
    except ValueError:
        for stamp in stamps:
            try:
                np.datetime64(_iso(stamp), "s")
            except ValueError:
                raise InputError(
                    f"{where}: time {shown(stamp)}; expected YYYY-MM-DD hh:mm:ss"
                ) from None
        raise


def _iso(stamp: str) -> str:
    if len(stamp) != 19 or stamp[10] != " ":
        raise ValueError(stamp)
    return stamp.replace(" ", "T")


def _states(where: str, said: list[str]) -> np.ndarray:
    """What is known behind each message, (messages, 4) bool."""
    known = np.zeros((len(said), 4), bool)
    now = [False] * 4
    for row, state in enumerate(said):
        if state in STATES:
            which, on = STATES[state]
            now[which] = on
        elif not (state.endswith("%") and state[:-1].replace(".", "", 1).isdigit()):
            raise InputError(
                f"{where}: state {shown(state)} is not known; allowed: {', '.join(STATES)}, a battery's 87.0%"
            )
        known[row] = now
    return known


def _pattern(user: _User, midnight: float) -> tuple[np.ndarray, np.ndarray, float]:
    """The slots of a user's whole days, turned about so that second 0 is a midnight, and the period."""
    period = max(1.0, (user.last - user.first) // DAY_SECONDS) * DAY_SECONDS
    stop = user.first + period
    inside = user.start < stop
    start, end = user.start[inside] - midnight, np.minimum(user.end[inside], stop) - midnight
    turn = start // period * period
    start, end = start - turn, end - turn
    over = end > period
    start, end = (
        np.concatenate([start, np.zeros(over.sum())]),
        np.concatenate([np.minimum(end, period), end[over] - period]),
    )
    order = np.lexsort((end, start))
    return start[order], end[order], period
