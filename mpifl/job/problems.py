"""All that is wrong with a job, for the person who made it: a line each, with what was probably meant."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mpifl.errors import InputError, counted
from mpifl.job.section import Section
from mpifl.job.synonyms import key_for

MOST_PROBLEMS = 20


@dataclass
class Problems:
    """What is wrong with a job, a line each, as it is found."""

    lines: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note an InputError in the block, and go on after it."""
        try:
            yield
        except InputError as error:
            self.lines += error.lines

    def end(self) -> None:
        """Raise InputError for what was noted: the first thing of each key, and no more than MOST_PROBLEMS."""
        by_key = {line.partition(": ")[0]: line for line in reversed(self.lines)}
        lines = [line for line in self.lines if by_key.pop(line.partition(": ")[0], None)]
        if lines:
            left = len(lines) - MOST_PROBLEMS
            raise InputError(*lines[:MOST_PROBLEMS], *([f"and {counted(left, 'more error')}"] if left > 0 else []))


def explain(schema: type[Section], error: ValidationError) -> list[str]:
    """A line for each of pydantic's errors, unknown keys first."""
    found = [(p["type"], ".".join(map(str, p["loc"])), p) for p in error.errors(include_url=False)]
    unknown = [_unknown_key(schema, key, p["input"]) for kind, key, p in found if kind == "extra_forbidden"]
    # A misspelt key often also leaves its right name missing: the misspelling is the cause.
    meant = {f"{key}?" for kind, key, _ in found if kind == "missing"} & {line.rpartition(" ")[2] for line in unknown}
    others = [(key, p) for kind, key, p in found if kind != "extra_forbidden" and f"{key}?" not in meant]
    return [*unknown, *(_wrong_value(key, p) for key, p in others)]


def _wrong_value(key: str, problem: ErrorDetails) -> str:
    given, message = problem["input"], problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{key}: missing; a value is required"
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: {given!r} is not a section (expected `key: value` lines below it)"
    if isinstance(given, dict):
        return f"{key}: {message}"
    return f"{key}: {given!r} is not allowed: {message[0].lower()}{message[1:]}"


def _unknown_key(schema: type[Section], key: str, value: Any) -> str:
    valid = list(_keys(schema))
    if isinstance(value, dict) and value and key_for(key) not in valid:  # a misspelt section: name the first key in it
        key = f"{key}.{next(iter(value))}"
    section, _, word = key.rpartition(".")
    known = key_for(word)
    if known in valid:
        return f"{_shown(key)}: no such key; did you mean {known}?"
    siblings = {k.rpartition(".")[2]: k for k in valid if k.rpartition(".")[0] == section}
    near = [siblings[k] for k in difflib.get_close_matches(word, siblings, n=1, cutoff=0.5)]
    if not siblings:
        near = difflib.get_close_matches(key, valid, n=1)
    near = near or [k for k in valid if k.rpartition(".")[2] == word]
    allowed = siblings.values() or [k for k in valid if "." not in k]
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
    return f"{_shown(key)}: no such key; {hint}"


def _shown(key: str) -> str:
    """Return a key as an error names it: in quotes where it begins or ends with white space, or is nothing at all."""
    return key if key and key == key.strip() else repr(key)


def _keys(schema: type[Section], prefix: str = "") -> Iterator[str]:
    for name, info in schema.model_fields.items():
        yield prefix + name
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from _keys(info.annotation, f"{prefix}{name}.")
