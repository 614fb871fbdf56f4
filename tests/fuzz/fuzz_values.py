"""Values that nobody meant, put into the mappings of jobs and recipes in place of those that somebody did."""

from __future__ import annotations

import copy
import datetime
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Mapping = dict[str, Any]
Path = tuple[Any, ...]

STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        "",
        "x",
        "natural",
        ":",
        "a:b",
        "./no.py:X",
        "no.such.module:X",
        "\0",
        "é\u2028\u202e\x1b[2J",
    ),
    *(
        0,
        -1,
        1,
        2,
        3,
        7,
        1000,
        2**31 - 1,
        2**31,
        2**32,
        2**53,
        2**63 - 1,
        2**63,
        2**64,
        10**12,
        10**13,
        10**400,
        -(10**400),
    ),
    *(
        0.0,
        -0.0,
        0.5,
        0.999999,
        1.5,
        -1.5,
        1e-320,
        1e-300,
        1e-9,
        1e9,
        1e15,
        1e300,
        1.7976931348623157e308,
    ),
    *(math.nan, math.inf, -math.inf, "9" * 5000, "a" * 300, b"bytes", datetime.date(2024, 1, 1)),
    *(
        [],
        [1],
        [0],
        [-1],
        [10**12],
        [2**63],
        [1] * 200,
        ["a"],
        [[1]],
        [None],
        {},
        {1: 2},
        {"x": {"y": {"z": 1}}},
    ),
    *(
        {"name": "x"},
        {"name": None},
        {"preset": "fedscale"},
        {"preset": 3},
        {"mode": "all"},
        {"quantiles": {0: 1}},
    ),
    *(
        {"quantiles": {0: 0, 100: 0}},
        {"quantiles": {0: 1, 100: 1e15}},
        {"quantiles": {0: 1, 100: 1e16}},
        {"quantiles": [1, 2]},
    ),
    *({"median": 1, "sigma": 10}, {"median": 1e308, "sigma": 10}, {"mixture": []}),
)


def paths(mapping: Mapping, above: Path = ()) -> Iterator[Path]:
    """Where a mapping has values, sections included."""
    for key, value in mapping.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def replaced(mapping: Mapping, path: Path, value: Any) -> Mapping:
    """A copy with another value at ``path``; without it for the value that is this function itself."""
    found = copy.deepcopy(mapping)
    section: Any = found
    for part in path[:-1]:
        if not isinstance(section := section.get(part), dict):
            return found  # another change was there before
    if value is replaced:
        section.pop(path[-1], None)
    else:
        section[path[-1]] = value
    return found


numbers = st.integers(-(2**70), 2**70) | st.floats()
trees = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def changed(draw: st.DrawFn, mapping: Mapping) -> Mapping:
    """The mapping with one to three values replaced, left out, put elsewhere or under another key."""
    found = mapping
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(mapping))))
        match draw(st.integers(0, 9)):
            case 0:
                found = replaced(found, path, replaced)
            case 1:
                found = replaced(
                    found, (*path[:-1], draw(st.text(max_size=5))), draw(st.sampled_from(STRANGE))
                )
            case 2:
                found = replaced(found, path, draw(trees))
            case 3 | 4:
                found = replaced(found, path, draw(numbers))
            case _:
                found = replaced(found, path, draw(st.sampled_from(STRANGE)))
    return found
