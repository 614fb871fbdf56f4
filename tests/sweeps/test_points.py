"""The points of a grid and of a random search, and the names of their run directories."""

from __future__ import annotations

import re

import pytest
import scipy.stats
import yaml

from mpifl.errors import InputError
from mpifl.sweeps.axes import parse_axes
from mpifl.sweeps.points import drawn, folder_names, grid


def test_a_grid_has_every_combination_and_the_last_axis_changes_fastest() -> None:
    found = grid(parse_axes(["a=1,2+b=3,4", "rounds=9", "seed=0..1"]))
    assert [tuple(point.values()) for point in found] == [
        ("1", "3", "9", "0"),
        ("1", "3", "9", "1"),
        ("2", "4", "9", "0"),
        ("2", "4", "9", "1"),
    ]
    assert grid([]) == [{}]


def test_names_say_what_varies_and_are_good_names_of_files() -> None:
    texts = ["algorithm={name: fedprox, mu: 1},./a b.py:Mine", "training.lr=-1,1", "rounds=3"]
    axes = parse_axes(texts)
    assert folder_names(axes, grid(axes)) == [
        "1_algorithm-name-fedprox-mu-1_lr--1",
        "2_algorithm-name-fedprox-mu-1_lr-1",
        "3_algorithm-a-b.py-Mine_lr--1",
        "4_algorithm-a-b.py-Mine_lr-1",
    ]
    axes = parse_axes(["training.lr=1,2", "algorithm.lr=3", "algorithm.name=x", "a.name=y,z"])
    assert folder_names(axes, grid(axes))[0] == "1_lr-1_a-y"
    axes = parse_axes(["selection.name=oort,refl", "clock.mode=sync,all"])
    assert folder_names(axes, grid(axes))[0] == "1_selection-oort_clock-sync"
    axes = parse_axes(["training.lr=1,2", "algorithm.lr=3,4"])
    assert folder_names(axes, grid(axes))[0] == "1_training-lr-1_algorithm-lr-3"


def test_long_names_differ_by_their_numbers() -> None:
    axes = parse_axes([f"{'k' * 150}=1..12"])
    names = folder_names(axes, grid(axes))
    assert names[0].startswith("01_")
    assert len(set(names)) == 12
    assert max(map(len, names)) <= 120


SEARCH = ["training.lr=log(0.001..1)", "algorithm=fedavg,fedprox", "seed=1..2"]


def test_a_random_search_has_different_points_each_with_every_seed() -> None:
    points = drawn(parse_axes(SEARCH), 20, seed=0)
    assert len(points) == 40
    assert [point["seed"] for point in points] == ["1", "2"] * 20
    assert len({point["training.lr"] for point in points}) == 20
    assert {point["algorithm"] for point in points} == {"fedavg", "fedprox"}


def test_the_first_points_stay_with_a_larger_number_and_change_with_the_seed() -> None:
    axes = parse_axes(SEARCH)
    assert drawn(axes, 20, seed=0)[:10] == drawn(axes, 5, seed=0)
    assert drawn(axes, 5, seed=1) != drawn(axes, 5, seed=0)


def test_logarithms_of_a_log_interval_are_spread_evenly() -> None:
    points = drawn(parse_axes(["a=log(0.001..1)"]), 400, seed=0)
    numbers = [yaml.safe_load(point["a"]) for point in points]
    assert scipy.stats.kstest(numbers, scipy.stats.loguniform(0.001, 1).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("texts", "count", "said"),
    [
        (["a=1..3", "b=1,2"], 7, "gave only 6 different points"),
        (["seed=1..3"], 2, "no axis has several values besides seed"),
        (["a=1,2", "seed=uniform(0..1)"], 2, "seed: is not drawn"),
        (["a=1,2", "seed=1..2000"], 6, "12,000 runs are not allowed"),
    ],
)
def test_a_search_that_cannot_be_is_refused(texts: list[str], count: int, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        drawn(parse_axes(texts), count, seed=0)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a=log(1..2)"], "a: log(...) is for --random N"),
        (["a=1..200", "b=1..200"], "40,000 runs are not allowed"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        grid(parse_axes(texts))
