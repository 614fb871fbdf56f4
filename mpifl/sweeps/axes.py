"""The axes of a sweep: keys of a job, and the values that each is to have.

``training.lr=0.1,0.05`` is an axis of two values, ``seed=1..3`` one of three. A value is YAML; in
brackets, braces and quotes a comma belongs to it. ``a=1,2+b=3,4`` ties two keys together: the
first values belong together, and the second. ``log(0.001..1)`` and ``uniform(0..1)`` are intervals
that a random search draws from.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import yaml

from mpifl.errors import InputError
from mpifl.job.yaml_text import load_value

KEY = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)*=")
INTEGERS = re.compile(r"(-?\d+)\.\.(-?\d+)")
INTERVAL = re.compile(r"(log|uniform)\((.+?)\.\.(.+)\)")
OPENING = "([{"
CLOSING = ")]}"
MOST_RUNS = 10_000
"""The most runs of a sweep."""

DIGITS = 4
"""The significant digits of a number that is drawn."""


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``, spread evenly, or evenly over their logarithms."""

    spread: Literal["log", "uniform"]
    low: float
    high: float

    def value(self, share: float) -> str:
        """Return the number that lies at ``share`` (0 to 1) of the interval, as YAML."""
        if self.spread == "log":
            number = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            number = self.low + share * (self.high - self.low)
        return str(yaml.safe_dump(float(f"{number:.{DIGITS}g}"))).split("\n")[0]


@dataclass(frozen=True)
class Axis:
    """One dimension of a sweep.

    Attributes:
        keys: The keys of the job that change along it; several where they are tied together.
        choices: The values to take, each a YAML text for every key; empty with an interval.
        interval: What the value of the one key is drawn from; else None.
    """

    keys: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...] = ()
    interval: Interval | None = None

    @property
    def varies(self) -> bool:
        """Whether it has more than one value."""
        return self.interval is not None or len(self.choices) > 1


def parse_axes(texts: Sequence[str]) -> list[Axis]:
    """Return the axes of a command line. Raises InputError, also for a key that is given twice."""
    axes = [_parse_axis(text) for text in texts]
    keys = [key for axis in axes for key in axis.keys]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"{key}: given twice; give each key of a sweep once, with all values")
    return axes


def _parse_axis(text: str) -> Axis:
    """Return the axis of a text such as ``training.lr=0.1,0.05``. Raises InputError."""
    if not text.isprintable():
        raise InputError(f"{text!r}: not allowed; allowed: letters, digits, signs and blanks")

    parts = _split(text, lambda place: text[place] == "+" and bool(KEY.match(text, place + 1)))
    pairs = [_key_and_values(part) for part in parts]
    keys = tuple(key for key, _ in pairs)
    if len(pairs) == 1 and len(pairs[0][1]) == 1:
        interval = _interval(keys[0], pairs[0][1][0])
        if interval is not None:
            return Axis(keys, interval=interval)

    columns = [_listed(key, values) for key, values in pairs]
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(
            f"{key} has {len(column)}" for key, column in zip(keys, columns, strict=True)
        )
        raise InputError(f"{text}: keys that are tied by + need equally many values: {counts}")

    choices = tuple(zip(*columns, strict=True))
    values = [repr([load_value(value) for value in choice]) for choice in choices]
    given = Counter(values)
    for choice, value in zip(choices, values, strict=True):
        if given[value] > 1:
            raise InputError(f"{', '.join(keys)}: {', '.join(choice)} is given twice")
    return Axis(keys, choices)


def _key_and_values(part: str) -> tuple[str, list[str]]:
    """Return the key of ``key=value,value``, and the texts between its commas."""
    found = KEY.match(part)
    if found is None:
        raise InputError(f"{part!r}: an axis looks like section.key=value,value or seed=1..3")
    key = found.group()[:-1]
    values = part[found.end() :]
    return key, _split(values, lambda place: values[place] == ",")


def _listed(key: str, texts: Sequence[str]) -> list[str]:
    """Return the values that texts stand for: a value for itself, 1..3 for 1, 2 and 3."""
    values: list[str] = []
    for text in texts:
        integers = INTEGERS.fullmatch(text.strip())
        if integers:
            values += _integers(key, int(integers.group(1)), int(integers.group(2)))
            continue
        if not text.strip():
            raise InputError(f"{key}: a value is empty; write null for none")
        if _interval(key, text):
            raise InputError(f"{key}: {text.strip()} is allowed only alone, and not tied by +")
        try:
            load_value(text)
        except InputError as error:
            raise InputError(f"{key}: {text!r} is not a YAML value ({error.lines[0]})") from error
        values.append(text.strip())
    return values


def _integers(key: str, low: int, high: int) -> list[str]:
    if not low <= high < low + MOST_RUNS:
        raise InputError(
            f"{key}: {low}..{high} is not allowed; allowed: from the smaller to the larger, at"
            f" most {MOST_RUNS:,} numbers"
        )
    return [str(number) for number in range(low, high + 1)]


def _interval(key: str, text: str) -> Interval | None:
    """Return the interval that a text describes, None if it does not look like one."""
    found = INTERVAL.fullmatch(text.strip())
    if found is None:
        return None

    spread: Literal["log", "uniform"] = "log" if found.group(1) == "log" else "uniform"
    try:
        low = float(found.group(2))
        high = float(found.group(3))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(high - low) and low < high and (spread == "uniform" or low > 0)):
        least = " and the first above 0" if spread == "log" else ""
        raise InputError(
            f"{key}: {text.strip()} is not allowed; allowed: {spread}(a..b) of two numbers, the"
            f" second the larger{least}"
        )
    return Interval(spread, low, high)


def _split(text: str, separates: Callable[[int], bool]) -> list[str]:
    """Return the parts of a text between the places that separate, but for those within brackets.

    Raises InputError for a bracket or a quote that is not closed.
    """
    ends = [place for place in _outside(text) if separates(place)]
    starts = [0, *(place + 1 for place in ends)]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True)]


def _outside(text: str) -> Iterator[int]:
    """Yield the places of a text that are in no brackets, braces, parentheses or quotes."""
    depth = 0
    quote = ""
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in OPENING:
            depth += 1
        elif char in CLOSING:
            depth -= 1
        elif depth == 0:
            yield place
        if depth < 0:
            break
    if depth or quote:
        raise InputError(f"{text}: a bracket or a quote is not closed, or closed too often")
