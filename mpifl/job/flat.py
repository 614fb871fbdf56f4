"""Nested values by dotted key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def flat(nested: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Return the values of a nested mapping by dotted key, such as ``training.lr``.

    Lists stay whole. ``within`` is put before each key.
    """
    values: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{within}{name}.")
        else:
            values[f"{within}{name}"] = value
    return values


def short_keys(keys: Sequence[str]) -> list[str]:
    """Return dotted keys without their sections: algorithm.name as algorithm, training.lr as lr.

    Keys that would look alike stay whole.
    """
    short = [_short_key(key) for key in keys]
    return [name if short.count(name) == 1 else key for name, key in zip(short, keys, strict=True)]


def _short_key(key: str) -> str:
    section, _, last = key.rpartition(".")
    return section.rpartition(".")[2] if last in ("name", "mode", "number") and section else last
