"""Counts of imports against counts as published."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.catalogue.catalogue import Count, Entry, find_entry
from mpifl.datasets.catalogue.check import differences
from mpifl.datasets.dataset import grouped


@dataclass
class Part:
    offsets: np.ndarray
    client: np.ndarray


def part(clients: int, samples: int, first: int = 0) -> Part:
    """Clients named from ``first`` on; the first of them has what the others leave, one each."""
    sizes = [samples - clients + 1] + [1] * (clients - 1)
    names = np.array([f"c{k}" for k in range(first, first + clients)], "S")
    return Part(np.cumsum([0, *sizes]), names)


def entry(*published: dict[str, Any], client_key: str | None = "writer") -> Entry:
    return Entry.model_validate(
        {
            "name": "made-up",
            "title": "Made up",
            "tasks": ["classification"],
            "modality": "table",
            "published": [{"paper": "fedml", "place": "table 1", **source} for source in published],
            "client_key": client_key,
            "licence": "none",
            "homepages": ["https://example.org"],
            "importer": "csv",
            "layout": "a table",
            "by_hand": ["make it"],
        }
    )


def test_femnist_as_tensorflow_federated_has_it_agrees() -> None:
    assert (
        differences(
            find_entry("femnist"), {"train": part(3400, 671_585), "test": part(3400, 77_483)}
        )
        == []
    )


def test_femnist_as_leaf_has_it_agrees_too() -> None:
    assert (
        differences(
            find_entry("femnist"), {"train": part(3550, 700_000), "test": part(3550, 105_263)}
        )
        == []
    )


def test_what_agrees_with_no_place_is_told_of_every_place() -> None:
    found = differences(
        find_entry("femnist"), {"train": part(3400, 671_584), "test": part(3400, 77_483)}
    )
    assert [line.rpartition(": ")[2] for line in found] == [
        "train samples 671,585 published, 671,584 (train) imported",
        "samples 640K published, 671,584 (train) or 749,067 (all) imported",
        "all clients 3,550 published, 3,400 (all) imported",
        "all samples 805,263 published, 749,067 (all) imported",
    ]
    assert found[0].startswith("FedML (arXiv 2007.13518), tables 2 and 3")


def test_one_place_has_to_agree_in_everything() -> None:
    sources = [
        {"figures": [{"part": "all", "clients": 5, "samples": 10}]},
        {"figures": [{"part": "all", "clients": 6, "samples": 11}]},
    ]
    assert differences(entry(*sources), {"train": part(5, 10)}) == []
    assert differences(entry(*sources), {"train": part(6, 11)}) == []
    assert len(differences(entry(*sources), {"train": part(5, 11)})) == 2


def test_clients_in_several_parts_count_once_and_others_each() -> None:
    both = entry({"figures": [{"part": "all", "clients": 7}]})
    assert differences(both, {"train": part(7, 20), "test": part(3, 9)}) == []
    assert (
        differences(
            both,
            {"train": part(4, 20), "validation": part(1, 2, first=4), "test": part(2, 9, first=5)},
        )
        == []
    )
    assert differences(both, {"train": part(5, 20), "test": part(4, 9, first=3)}) == []
    assert differences(both, {"train": part(7, 20), "test": part(1, 9, first=7)}) == [
        "table 1: all clients 7 published, 8 (all) imported"
    ]


@pytest.mark.parametrize("train", [10, 8])
def test_figures_of_which_nobody_said_of_what_may_be_of_train_or_of_all(train: int) -> None:
    unsaid = entry({"figures": [{"part": "either", "samples": 10}]})
    assert differences(unsaid, {"train": part(2, train), "test": part(2, 2)}) == []
    assert len(differences(unsaid, {"train": part(2, 9), "test": part(2, 2)})) == 1


def test_clients_that_a_partitioner_makes_are_not_compared() -> None:
    made = entry({"figures": [{"part": "train", "clients": 10, "samples": 60}]}, client_key=None)
    assert differences(made, {"train": part(1, 60)}) == []
    assert len(differences(made, {"train": part(1, 61)})) == 1


def test_a_part_that_is_missing_differs() -> None:
    two = entry({"figures": [{"part": "train", "samples": 6}, {"part": "test", "samples": 3}]})
    assert differences(two, {"train": part(1, 6)}) == [
        "table 1: test samples 3 published, 0 (test) imported"
    ]


def test_where_nothing_is_published_nothing_differs() -> None:
    assert differences(entry({}), {"train": part(1, 6)}) == []
    assert (
        differences(
            entry({}, {"figures": [{"part": "train", "samples": 7}]}), {"train": part(1, 6)}
        )
        != []
    )


def test_the_real_qmnist_is_as_the_catalogue_says(shared: Path) -> None:
    parts = {}
    for name, samples in (("train", 60_000), ("test", 10_000)):
        raw = gzip.decompress(
            (shared / "data" / "qmnist" / f"qmnist-{name}-labels-idx2-int.gz").read_bytes()
        )
        rows = np.frombuffer(raw[12:], ">i4").reshape(-1, 8)[:samples]
        parts[name] = grouped(np.zeros((samples, 1), np.uint8), rows[:, 0], rows[:, 2])
    assert differences(find_entry("qmnist"), parts) == []
    assert differences(find_entry("mnist"), parts) == []
    assert len(differences(find_entry("femnist"), parts)) > 3


@given(
    st.integers(0, 10**9),
    st.sampled_from([("K", 1), ("K", 1000), ("M", 10**4), ("M", 10**5), ("M", 10**6)]),
    st.booleans(),
)
def test_a_number_is_in_what_is_printed_of_it_rounded_or_cut(
    number: int, form: tuple[str, int], cut: bool
) -> None:
    unit, step = form
    if step == 1:
        step = 100  # 9.6K
    digits = number // step if cut else (number + step // 2) // step
    decimals = {"K": 1000, "M": 10**6}[unit] // step
    places = len(str(decimals)) - 1
    text = (
        f"{digits // decimals}.{digits % decimals:0{places}d}{unit}"
        if places
        else f"{digits}{unit}"
    )
    printed = Count.of(text)
    assert number in printed
    assert number + 2 * step not in printed
    assert number - 2 * step not in printed


@given(st.integers(0, 10**9))
def test_an_exact_count_is_that_number_alone(number: int) -> None:
    exact = Count.of(number)
    assert exact.text == f"{number:,}"
    assert number in exact
    assert number + 1 not in exact
    assert number - 1 not in exact
