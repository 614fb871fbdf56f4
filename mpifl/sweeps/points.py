"""The points of a sweep: the settings of each run, as a grid of all axes or drawn at random."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from mpifl.errors import InputError
from mpifl.job.flat import short_keys
from mpifl.seeds import Purpose, generator
from mpifl.sweeps.axes import MOST_RUNS, Axis

Point = dict[str, str]
"""A value, as YAML text, for every key of the sweep."""

SEED = "seed"
LONGEST_NAME = 120
DRAWS_PER_POINT = 100
"""How often a point is drawn before there are taken to be no more that differ."""


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Return every combination of the axes' values; the last axis changes fastest.

    Raises InputError for intervals, and for too many runs.
    """
    for axis in axes:
        if axis.interval is not None:
            raise InputError(
                f"{axis.keys[0]}: {axis.interval.spread}(...) is for --random N; a grid needs"
                " values such as 0.1,0.01"
            )

    count = math.prod(len(axis.choices) for axis in axes)
    _check_count(count)
    return [_point(axes, choices) for choices in itertools.product(*(a.choices for a in axes))]


def drawn(axes: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """Return ``count`` different random points, each with every seed of the job.

    The axis ``seed`` is not drawn. A point depends on ``seed`` and its number alone: with a larger
    count the first points stay. Raises InputError when there are not so many.
    """
    searched = [axis for axis in axes if axis.keys != (SEED,)]
    seeds = [axis for axis in axes if axis.keys == (SEED,)]
    if not any(axis.varies for axis in searched):
        raise InputError("--random: no axis has several values besides seed, so nothing is drawn")
    if any(axis.interval for axis in seeds):
        raise InputError("seed: is not drawn: every point runs with all seeds; give seed=1..3")
    _check_count(count * math.prod(len(axis.choices) for axis in seeds))

    points: dict[tuple[tuple[str, ...], ...], None] = {}
    for number in range(DRAWS_PER_POINT * count):
        choices = (_draw(axis, seed, number, place) for place, axis in enumerate(searched))
        points.setdefault(tuple(choices))
        if len(points) == count:
            break
    else:
        raise InputError(
            f"--random: {count} is not allowed: {DRAWS_PER_POINT * count:,} draws gave only"
            f" {len(points)} different points; allowed: at most so many, or all of them without"
            " --random"
        )

    ordered = [*searched, *seeds]
    every = list(itertools.product(*(axis.choices for axis in seeds)))
    return [_point(ordered, (*choices, *rest)) for choices in points for rest in every]


def _draw(axis: Axis, seed: int, number: int, place: int) -> tuple[str, ...]:
    """Return the value of an axis, the ``place``-th one, in the ``number``-th draw."""
    random = generator(seed, Purpose.SWEEP, number, place)
    if axis.interval is not None:
        return (axis.interval.value(float(random.random())),)
    return axis.choices[int(random.integers(len(axis.choices)))]


def _point(axes: Sequence[Axis], choices: Sequence[tuple[str, ...]]) -> Point:
    return {
        key: value
        for axis, choice in zip(axes, choices, strict=True)
        for key, value in zip(axis.keys, choice, strict=True)
    }


def _check_count(count: int) -> None:
    if count > MOST_RUNS:
        raise InputError(
            f"{count:,} runs are not allowed; allowed: at most {MOST_RUNS:,} in a sweep;"
            " --random N draws some of them"
        )


def folder_names(axes: Sequence[Axis], points: Sequence[Point]) -> list[str]:
    """Return the name of each point's run directory: its number, and the keys that vary.

    An example is ``07_lr-0.05_algorithm-fedprox_seed-1``.
    """
    varying = [key for axis in axes if axis.varies for key in axis.keys]
    short = dict(zip(varying, short_keys(varying), strict=True))
    digits = len(str(len(points)))

    names = []
    for number, point in enumerate(points, 1):
        parts = [f"{short[key].replace('.', '-')}-{_plain(point[key])}" for key in varying]
        names.append("_".join([f"{number:0{digits}}", *parts])[:LONGEST_NAME].rstrip("_.-"))
    return names


def _plain(value: str) -> str:
    """Return a value in characters that are good in names of files, at most 32."""
    text = re.sub(r"[^A-Za-z0-9.+-]+", "-", value)
    return re.sub(r"^(?!-\d)[^A-Za-z0-9]+|[-.]+$", "", text)[:32] or "none"
