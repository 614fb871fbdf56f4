"""The words and units in which a run is told of. Imports nothing large."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

COLUMNS = 80
"""The most characters of a line of a run's closing words: a terminal breaks others anywhere."""

INDENT = "  "
"""What stands before the rest of a line that was folded."""

ENDS = {
    "completed": "completed",
    "dropped": "dropped out",
    "cut": "cut",
    "stale": "too late",
    "failed": "failed",
    "abandoned": "abandoned",
}
"""The columns of /rounds that count participants by how they ended, and that end in words."""


def losses_text(counts: Mapping[str, int]) -> str:
    """Return how many participants ended without an update, and how; "" if none did.

    ``counts`` has a number for each of ENDS.
    """
    losses = [(counts[name], text) for name, text in ENDS.items() if name != "completed"]
    return ", ".join(f"{count:,} {text}" for count, text in losses if count)


def energy_text(joules: float) -> str:
    """Return joules with a fitting unit: 74.8 J, 11.9 kJ, 3.30 GJ."""
    for unit in ("J", "kJ", "MJ"):
        if joules < 999.5:
            return f"{joules:.3g} {unit}"
        joules /= 1000
    return f"{joules:,.3g} GJ"


def clock_text(seconds: float) -> str:
    """Return seconds with a fitting unit: 8.3 s, 12:05 min, 3:07:20 h."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def folded(line: str) -> list[str]:
    """Return a line as lines of at most COLUMNS characters; only a longer word makes a longer one.

    They end behind a comma, semicolon, colon or bracket where that leaves no line below half full,
    else behind a word, but never between a number and its unit.
    """
    words: list[str] = []
    for word in line.split(" "):
        if words and words[-1][-1:].isdigit():
            words[-1] += f" {word}"
        else:
            words.append(word)

    lines = []
    rest = words
    while len(" ".join(rest)) > COLUMNS and len(rest) > 1:
        count = _words_of_line(rest)
        lines.append(" ".join(rest[:count]))
        rest = [INDENT + rest[count], *rest[count + 1 :]]
    return [*lines, " ".join(rest)]


def _words_of_line(words: list[str]) -> int:
    """Return how many words the first line takes, at least one; there are more than fit."""
    ends = list(itertools.accumulate(map(len, words), lambda end, length: end + 1 + length))
    fitting = max(1, sum(end <= COLUMNS for end in ends))
    good = [
        number
        for number in range(1, fitting + 1)
        if words[number - 1].endswith((",", ";", ":", ")")) and ends[number - 1] >= COLUMNS // 2
    ]
    return good[-1] if good else fitting
