"""LEAF's JSON, user by user.

A file is ``{"users": [...], "num_samples": [...], "user_data": {user: {"x": [...], "y": [...]}}}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson

from mpifl.datasets.importers.streams import json_errors, opened
from mpifl.errors import InputError, counted
from mpifl.io.files import read_errors

DEEPEST = 16
"""Maximum nesting: no file of LEAF's is so deep, and endless nesting would fill the memory."""

User = tuple[str, list[Any], list[Any]]
"""Name, samples, labels."""


def users_of(path: Path, *, skip_empty: bool = False, all_counted: bool = True) -> Iterator[User]:
    """Yield the users of a file that have samples, in the order of the file.

    One user's samples are held at a time, and the names of all users. Without ``all_counted``
    num_samples may be larger than the number of samples. Users without samples that are not listed
    in "users" are ignored, because LEAF's own split leaves them behind.

    Raise InputError if the file is damaged or not in LEAF's layout, if it lists other users or
    numbers of samples than it holds, and, unless ``skip_empty``, if a listed user has no samples.
    """
    held: dict[str, int] = {}
    listed: dict[str, list[Any]] = {}
    with opened(path) as stream, read_errors(path):
        for key, value in _members(path, stream.file):
            if isinstance(key, str):
                if key in ("users", "num_samples"):
                    listed[key] = value if isinstance(value, list) else []
                continue

            name = key[1]
            if name in held:
                raise InputError(f"{path}: user {name!r} occurs twice")
            x, y = _samples(value, f"{path}: user {name!r}")
            held[name] = len(x)
            if x:
                yield name, x, y
        _check_lists(path, held, listed, all_counted)

    empty = [user for user in map(str, listed["users"]) if not held[user]]
    if empty and not skip_empty:
        raise InputError(
            f"{path}: no samples of {shown(empty)}; --skip-empty leaves such users out"
        )


def shown(names: list[str]) -> str:
    """Return the first five of many names, for messages."""
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _members(path: Path, file: IO[bytes]) -> Iterator[tuple[str | tuple[str, str], Any]]:
    """Yield the members of a JSON object as (name, value).

    The members of its ``user_data`` come one by one, as (("user_data", name), value).
    """
    with json_errors(path):
        yield from _parsed(path, ijson.basic_parse(file, use_float=True))


def _parsed(
    path: Path, events: Iterator[tuple[str, Any]]
) -> Iterator[tuple[str | tuple[str, str], Any]]:
    """Build the values from ijson's events; see ``_members``."""
    stack: list[tuple[Any, Any]] = []  # the containers around ``top``, and their current keys
    top: Any = None
    key: Any = None
    for event, value in events:
        if event == "number" and type(top) is list:  # most events, so that it comes first
            top.append(value)
        elif event == "map_key":
            key = value
        elif event in ("start_array", "start_map"):
            stack.append((top, key))
            top = [] if event == "start_array" else {}
            if len(stack) > DEEPEST:
                raise InputError(f"{path}: it nests more than {DEEPEST} deep; LEAF's files do not")
        else:
            if event in ("end_array", "end_map"):
                value = top
                top, key = stack.pop()
            if isinstance(top, list):
                top.append(value)
            elif len(stack) == 2 and stack[1][1] == "user_data":
                yield ("user_data", key), value
            elif len(stack) == 1 and key != "user_data":
                yield key, value
            elif top is not None:
                top[key] = value


def _samples(value: Any, location: str) -> tuple[list[Any], list[Any]]:
    x, y = (value.get(key) for key in ("x", "y")) if isinstance(value, dict) else (None, None)
    if not isinstance(x, list) or not isinstance(y, list):
        raise InputError(f"{location}: it has no lists x and y")
    if len(x) != len(y):
        raise InputError(
            f"{location}: {counted(len(x), 'sample')} in x and {counted(len(y), 'label')} in y"
        )
    return x, y


def _check_lists(
    path: Path, held: dict[str, int], listed: dict[str, list[Any]], all_counted: bool
) -> None:
    """Raise InputError if users and num_samples do not agree with what the file holds."""
    if not held:
        raise InputError(
            f"{path}: no user_data; LEAF's files have users, num_samples and user_data"
        )
    users_count = len(listed.get("users", []))
    counts_count = len(listed.get("num_samples", []))
    if users_count != counts_count or not users_count:
        raise InputError(
            f"{path}: users has {counted(users_count, 'entry')}, num_samples {counts_count};"
            " each user needs one of both"
        )

    users = [str(user) for user in listed["users"]]
    for user, count in zip(users, listed["num_samples"], strict=True):
        if user not in held:
            raise InputError(f"{path}: user {user!r} is listed in users and not in user_data")
        may_be_larger = not all_counted and isinstance(count, int)
        if count != held[user] and not (may_be_larger and count >= held[user]):
            raise InputError(
                f"{path}: user {user!r}: num_samples says {count}, user_data holds {held[user]}"
            )

    if len(set(users)) < len(users):
        raise InputError(f"{path}: users names one of them twice")
    known = set(users)
    unlisted = [user for user, count in held.items() if count and user not in known]
    if unlisted:
        raise InputError(f"{path}: not listed in users: {shown(unlisted)}")
