"""The page of the catalogue, and what the terminal shows of an entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpifl.datasets.catalogue.catalogue import Entry, read_catalogue
from mpifl.datasets.catalogue.page import columns, page, sections, steps

CATALOGUE = read_catalogue()
PAGE = Path(__file__).parents[3] / "docs" / "catalogue.md"


def test_the_page_is_up_to_date() -> None:
    made = page(CATALOGUE.values())
    assert PAGE.read_text() == made, (
        "run: python -m mpifl.datasets.catalogue.page > docs/catalogue.md"
    )


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_nothing_that_is_known_is_left_out(entry: Entry) -> None:
    text = "\n".join(line for _, lines in sections(entry) for line in lines)
    said = [
        *entry.tasks,
        entry.modality,
        entry.licence,
        *entry.homepages,
        *entry.papers,
        *entry.also,
    ]
    said += [
        entry.notes,
        entry.reason,
        entry.layout,
        entry.licence_url or "",
        entry.client_key or "a partitioner makes them",
    ]
    for source in entry.published:
        said.append(source.place)
        said += [f"{f.clients.text} clients" for f in source.figures if f.clients]
        said += [f"{f.samples.text} samples" for f in source.figures if f.samples]
    for file in entry.download:
        said += [
            file.url,
            file.sha256 or "no checksum known",
            "size unknown" if file.bytes is None else f"{file.bytes:,} bytes",
        ]
    said += [step.replace("{folder}", "FOLDER") for step in (*entry.by_hand, *entry.then)]
    assert [word for word in said if word not in text] == []


def test_a_row_has_the_counts_of_the_paper_that_is_asked_for() -> None:
    assert columns(CATALOGUE["femnist"])[2:4] == ("3,400", "671,585")
    assert columns(CATALOGUE["femnist"], "leaf")[2:4] == ("3,550", "805,263")
    assert columns(CATALOGUE["femnist"], "fedscale")[2:4] == ("3,400", "640K")
    assert columns(CATALOGUE["femnist"], "flower")[2:4] == ("3,400", "671,585")
    assert columns(CATALOGUE["mnist"])[2:4] == ("(1,000)", "60,000")


def test_the_import_comes_last_and_only_where_there_is_one() -> None:
    assert steps(CATALOGUE["shakespeare"], "here") == [
        "tar -xjf here/shakespeare.tar.bz2 -C here",
        "mpifl data import tff here -o shakespeare.h5",
    ]
    assert not any("-o coqa.h5" in step for step in steps(CATALOGUE["coqa"], "here"))
