"""What a file's path says of it, by regular expressions with a named group."""

from __future__ import annotations

import re

from mpifl.errors import InputError


def has_group(pattern: str, group: str) -> str:
    """The same pattern. Raises ValueError when it is no regular expression, or has no group of that name."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if group not in groups:
        raise ValueError(f"no group (?P<{group}>...) in it")
    return pattern


def group_of(pattern: str, group: str, path: str) -> str:
    """What the group holds where the pattern is found in ``path``. Raises InputError naming the path when it holds nothing."""
    found = re.search(pattern, path)
    if not found or not found[group]:
        raise InputError(f"{path}: no {group} by the pattern {pattern!r}")
    return found[group]
