"""Labels and clients in file paths, by regular expressions with a named group."""

from __future__ import annotations

import re

from pydantic import AfterValidator

from mpifl.errors import InputError

FOLDER_OF_LABEL = r"^(?P<label>[^/]+)/[^/]+$"
LABEL_HELP = "regular expression with a group label, on the path below SOURCE"
CLIENT_HELP = "regular expression with a group client, on the path below SOURCE"


def with_group(group: str) -> AfterValidator:
    """Return a validator of an option that is a regular expression, or None.

    It raises ValueError for an expression that is invalid, or has no group of that name.
    """

    def check(pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if group not in groups:
            raise ValueError(f"no group (?P<{group}>...) in it")
        return pattern

    return AfterValidator(check)


def matched_group(pattern: str, group: str, path: str) -> str:
    """Return the text of the group at the first match of ``pattern`` in ``path``.

    Raise InputError naming the path if nothing matches or the group is empty.
    """
    match = re.search(pattern, path)
    if not match or not match[group]:
        raise InputError(f"{path}: no {group} by the pattern {pattern!r}")
    return match[group]
