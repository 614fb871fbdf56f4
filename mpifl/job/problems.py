"""Everything that is wrong with a job, one line for each problem, with what was probably meant."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mpifl.errors import InputError, counted, nearest, quoted
from mpifl.job.section import NAME, Section
from mpifl.job.synonyms import key_for

MOST_PROBLEMS = 20
NEAR = 0.75
"""How alike a value and an allowed one have to be for a hint: gpu is not to mean cpu."""

NUMBERS = ("int_type", "int_parsing", "int_from_float", "float_type", "float_parsing")
"""Pydantic's errors about a value that is no number, or no whole one."""

ONE_VALUE = (*NUMBERS, "bool_type", "string_type", "literal_error")
"""Pydantic's errors about a value of a key that has no keys below it."""


@dataclass
class Problems:
    """The problems of a job, one line each, collected while it is read."""

    lines: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Collect an InputError raised in the block, and continue after the block."""
        try:
            yield
        except InputError as error:
            self.lines += error.lines

    def end(self) -> None:
        """Raise InputError if there are problems: the first of each key, at most MOST_PROBLEMS."""
        by_key = {line.partition(": ")[0]: line for line in reversed(self.lines)}
        lines = [line for line in self.lines if by_key.pop(line.partition(": ")[0], None)]
        if not lines:
            return

        left = len(lines) - MOST_PROBLEMS
        more = [f"and {counted(left, 'more error')}"] if left > 0 else []
        raise InputError(*lines[:MOST_PROBLEMS], *more)


def explain(schema: type[Section], error: ValidationError) -> list[str]:
    """Return a line for each of pydantic's errors, unknown keys first."""
    problems = [
        (problem["type"], ".".join(map(str, problem["loc"])), problem)
        for problem in error.errors(include_url=False)
    ]
    unknown = [
        _unknown_key(schema, key, problem["input"])
        for kind, key, problem in problems
        if kind == "extra_forbidden"
    ]

    # A misspelt key often also leaves its right name missing: the misspelling is the cause.
    missing = {f"{key}?" for kind, key, _ in problems if kind == "missing"}
    meant = missing & {line.rpartition(" ")[2] for line in unknown}
    others = [
        _wrong_value(key, problem)
        for kind, key, problem in problems
        if kind != "extra_forbidden" and f"{key}?" not in meant
    ]
    return [*unknown, *others]


def _wrong_value(key: str, problem: ErrorDetails) -> str:
    given = problem["input"]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{key}: missing; a value is required"
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: {quoted(given)} is not a section (expected `key: value` lines below it)"
    if isinstance(given, dict):
        if problem["type"] in ONE_VALUE:
            allowed = message.removeprefix("Input should be ")
            return f"{key}: {quoted(given)} is a section; allowed: {allowed}"
        return f"{key}: {message}"
    if problem["type"] == "string_type" and isinstance(given, date | float | int):
        return f"{key}: {given} is not allowed: it is no text; put it in quotes"
    if problem["type"] == "string_pattern_mismatch" and problem["ctx"]["pattern"] == NAME:
        return (
            f"{key}: {quoted(given)} is not allowed; allowed: letters from A to Z, digits,"
            " and behind the first of them also dots, - and _"
        )
    if problem["type"].startswith("bool_"):
        return f"{key}: {quoted(given)} is not allowed; allowed: true, false"
    if problem["type"] in NUMBERS:
        return f"{key}: {quoted(given)} is not allowed: {_no_number(str(given), problem['type'])}"
    if problem["type"] == "literal_error":
        return f"{key}: {quoted(given)} is not allowed; {_nearest(given, problem)}"
    return f"{key}: {quoted(given)} is not allowed: {message[0].lower()}{message[1:]}"


def _no_number(given: str, kind: str) -> str:
    """Return why a text is no number, and what was probably meant."""
    why = "it is no number" if kind.startswith("float") else "it is no whole number"
    if ".." in given or "," in given:
        return f"{why}; several values or a range are for mpifl sweep"
    with contextlib.suppress(ValueError, OverflowError):
        number = float(given)
        if number == int(number):
            return f"{why}; write {int(number)}"
    return why


def _nearest(given: Any, problem: ErrorDetails) -> str:
    """Return the values of a list that are allowed, and before them the one that was meant."""
    expected = problem["ctx"]["expected"].replace(" or ", ", ")
    values = [value.strip("'") for value in expected.split(", ")]
    values = [value.lower() if value in ("True", "False") else value for value in values]
    return f"{nearest(str(given), values, NEAR)}allowed: {', '.join(values)}"


def _unknown_key(schema: type[Section], key: str, value: Any) -> str:
    """Return the line for an unknown key: with a synonym, a key spelt alike, or all allowed."""
    valid = list(_keys(schema))
    # A misspelt section: name the first key in it.
    if isinstance(value, dict) and value and key_for(key) not in valid:
        key = f"{key}.{next(iter(value))}"
    section, _, word = key.rpartition(".")

    synonym = key_for(word)
    if synonym in valid:
        return f"{_shown(key)}: no such key; did you mean {synonym}?"

    siblings = {name.rpartition(".")[2]: name for name in valid if _section(name) == section}
    near = [siblings[match] for match in difflib.get_close_matches(word, siblings, n=1, cutoff=0.5)]
    # The same word in a section of this one: training.momentum for training.optimizer.momentum.
    inner = [name for name in valid if section and name.startswith(f"{section}.")]
    near = [name for name in inner if name.rpartition(".")[2] == word] or near
    if not siblings:
        near = difflib.get_close_matches(key, valid, n=1)
    near = near or [name for name in valid if name.rpartition(".")[2] == word]
    allowed = siblings.values() or [name for name in valid if "." not in name]
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
    return f"{_shown(key)}: no such key; {hint}"


def _section(key: str) -> str:
    return key.rpartition(".")[0]


def _shown(key: str) -> str:
    """Return a key as errors name it: in quotes if it is empty or has white space at its ends."""
    return key if key and key == key.strip() else repr(key)


def _keys(schema: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a section and of all sections in it."""
    for name, info in schema.model_fields.items():
        yield prefix + name
        kind = info.annotation
        if get_origin(kind) is UnionType:  # Section | None
            kind = next((one for one in get_args(kind) if one is not NoneType), kind)
        kinds = {name: kind}
        if get_origin(kind) is tuple:
            kinds = {f"{name}.{place}": one for place, one in enumerate(get_args(kind))}
        for key, kind in kinds.items():
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from _keys(kind, f"{prefix}{key}.")
