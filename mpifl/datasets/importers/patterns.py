"""Labels and clients in file paths and in values, by regular expressions with a named group."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Annotated

from pydantic import AfterValidator

from mpifl.datasets.store import Store
from mpifl.errors import InputError, quoted

FOLDER_OF_LABEL = r"^(?P<label>[^/]+)/[^/]+$"
LABEL_HELP = "regular expression with a group label, on the path below SOURCE"
CLIENT_HELP = "regular expression with a group client, on the path below SOURCE"


TEST_HELP = "regular expression: files in whose path below SOURCE it is found are the test part"


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern. Raise ValueError if it is invalid."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _check(pattern: str) -> str:
    _compiled(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_check)]
"""An option that is a regular expression."""


def with_group(group: str) -> AfterValidator:
    """Return a validator of an option that is a regular expression, or None.

    It raises ValueError for an expression that is invalid, or has no group of that name.
    """

    def check(pattern: str | None) -> str | None:
        if pattern is None:
            return None
        if group not in _compiled(pattern).groupindex:
            raise ValueError(f"no group (?P<{group}>...) in it")
        return pattern

    return AfterValidator(check)


def matched_group(pattern: str, group: str, path: str) -> str:
    """Return the text of the group at the first match of ``pattern`` in ``path``.

    Raise InputError naming the path if nothing matches or the group is empty.
    """
    match = re.search(pattern, path)
    if not match or not match[group]:
        raise InputError(f"{path}: no {group} by the pattern {quoted(pattern)}")
    return match[group]


def group_in_value(pattern: str, group: str, value: str, location: str) -> str:
    """Return the text of the group at the first match of ``pattern`` in a value of a table.

    Raise InputError naming ``location`` if nothing matches or the group is empty.
    """
    match = re.search(pattern, value)
    if not match or not match[group]:
        raise InputError(
            f"{location}: {quoted(value)}: no {group} by the pattern {quoted(pattern)}"
        )
    return match[group]


def client_name(pattern: str | None, path: str, value: str | None, location: str) -> str:
    """Return the client of a sample: its ``value`` or, where that is None, "all".

    With a pattern it is the text of the group client: in the value, or without one in the path.
    Raise InputError where nothing matches; of a value it names ``location``.
    """
    if pattern is None:
        return "all" if value is None else value
    if value is None:
        return matched_group(pattern, "client", path)
    return group_in_value(pattern, "client", value, location)


def check_test_found(pattern: str, store: Store, texts: str) -> None:
    """Raise InputError where --test-pattern has found no sample; ``texts`` is what it looks in."""
    if pattern and not store.samples("test"):
        raise InputError(f"--test-pattern: {quoted(pattern)} is found in no {texts}")


def check_test_pattern(pattern: str, sources: Container[str]) -> None:
    """Raise InputError where --test-pattern and --test both say what the test part is."""
    if pattern and "test" in sources:
        raise InputError(f"--test-pattern: {quoted(pattern)}: not together with --test")
