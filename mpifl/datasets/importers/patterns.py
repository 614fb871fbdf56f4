"""Labels and clients in file paths, by regular expressions with a named group."""

from __future__ import annotations

import re

from mpifl.errors import InputError


def has_group(pattern: str, group: str) -> str:
    """Return the pattern. Raise ValueError if it is invalid or has no group of that name."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if group not in groups:
        raise ValueError(f"no group (?P<{group}>...) in it")
    return pattern


def matched_group(pattern: str, group: str, path: str) -> str:
    """Return the text of the group at the first match of ``pattern`` in ``path``.

    Raise InputError naming the path if nothing matches or the group is empty.
    """
    match = re.search(pattern, path)
    if not match or not match[group]:
        raise InputError(f"{path}: no {group} by the pattern {pattern!r}")
    return match[group]
