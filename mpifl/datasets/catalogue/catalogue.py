"""Which federated data sets there are: what was published of them, where they are obtained, which importer takes them.

The entries stand in the YAML files of this folder, one file a kind of data. Every figure names the place it was published in.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, model_validator

from mpifl.errors import InputError
from mpifl.job.section import Section
from mpifl.job.yaml_text import load_yaml

FOLDER = Path(__file__).parent
PAPERS = ("fedscale", "fedml", "flower", "leaf")
"""The papers whose tables the catalogue covers."""

Task = Literal[
    "classification",
    "object detection",
    "action recognition",
    "motion prediction",
    "language modelling",
    "translation",
    "question answering",
    "speech recognition",
    "text to speech",
    "sequence prediction",
    "recommendation",
    "reinforcement learning",
]
Modality = Literal["image", "video", "text", "audio", "table"]
Importer = Literal["qmnist", "idx", "cifar", "images", "fedscale", "leaf", "tff", "csv", "svmlight", "wav", "text", "npz"]
Others = Literal[Importer, "huggingface", "sizes"]


@dataclass(frozen=True)
class Count:
    """A number as it was printed: ``671585`` is exact, ``640K`` and ``1.3M`` are rounded or cut at their last digit."""

    text: str

    FORM = re.compile(r"(\d+)(?:\.(\d+))?([KM]?)")

    @classmethod
    def of(cls, value: Any) -> Any:
        """A Count of an int or of a text like ``1.3M``; anything else is left for pydantic to refuse."""
        if isinstance(value, int) and value >= 0:
            return cls(f"{value:,}")
        if isinstance(value, str):
            if cls.FORM.fullmatch(value) and not value.isdigit():
                return cls(value)
            raise ValueError("a count is a whole number, or a rounded one such as 640K or 1.3M")
        return value

    def __contains__(self, number: int) -> bool:
        """Whether ``number`` may have been printed so."""
        found = self.FORM.fullmatch(self.text.replace(",", ""))
        assert found is not None
        whole, decimals, unit = found[1], found[2] or "", found[3]
        if not unit:
            return number == int(whole)
        step = {"K": 1_000, "M": 1_000_000}[unit] // 10 ** len(decimals)  # what the last digit stands for
        above = number - int(whole + decimals) * step
        return -step <= 2 * above < 2 * step  # papers round, and papers cut off: 135,818,730 stands as 135M


class Figures(Section):
    """How many clients and samples a part has. ``either``: the source does not say whether of train or of everything."""

    part: Literal["train", "validation", "test", "all", "either"]
    clients: Annotated[Count | None, BeforeValidator(Count.of)] = None
    samples: Annotated[Count | None, BeforeValidator(Count.of)] = None


class Published(Section):
    """The figures of one place: a paper's table, or the data set's own documentation (``source``). There may be none."""

    paper: Literal["fedscale", "fedml", "flower", "leaf", "source"]
    place: str
    figures: tuple[Figures, ...] = ()


class Download(Section):
    """A file that anybody may fetch. SHA-256 in hexadecimal and bytes where they are known."""

    url: str = Field(pattern=r"^https?://\S+$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(default=None, gt=0)

    @property
    def name(self) -> str:
        """The file's own name."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])


class Entry(Section):
    """One data set.

    ``client_key`` says what a client is in the source, None where a partitioner has to make clients. ``importer`` is None where
    none takes it, and ``reason`` says why. ``layout`` is what the importer expects on disk. ``by_hand`` are the steps to get it
    where ``download`` is empty, ``then`` the steps between download and import, in which ``{folder}`` is where the files lie.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str
    tasks: tuple[Task, ...] = Field(min_length=1)
    modality: Modality
    published: tuple[Published, ...] = Field(min_length=1)
    client_key: str | None
    licence: str
    licence_url: str | None = None
    homepages: tuple[str, ...] = Field(min_length=1)
    importer: Importer | None
    also: tuple[Others, ...] = ()
    reason: str = ""
    layout: str = ""
    download: tuple[Download, ...] = ()
    by_hand: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    notes: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.importer is None) != bool(self.reason):
            raise ValueError("either an importer, or the reason why there is none")
        if (self.importer is None) == bool(self.layout):
            raise ValueError("a layout where there is an importer, and only there")
        if bool(self.download) == bool(self.by_hand):
            raise ValueError("either files to download, or what to do by hand")
        return self

    @property
    def papers(self) -> tuple[str, ...]:
        """The papers that list it, in the order of PAPERS."""
        listed = {source.paper for source in self.published}
        return tuple(paper for paper in PAPERS if paper in listed)


@functools.cache
def read_catalogue() -> dict[str, Entry]:
    """Every entry by name, sorted. The files are ours: one that is not as it should be is a defect, not an InputError."""
    entries = sorted(_entries(), key=lambda entry: entry.name)
    found = {entry.name: entry for entry in entries}
    assert len(found) == len(entries), "a name stands twice in the catalogue"
    return found


def find_entry(name: str) -> Entry:
    """The entry of a name. Raises InputError with the nearest names."""
    catalogue = read_catalogue()
    if name in catalogue:
        return catalogue[name]
    raise InputError(f"{name}: no such data set in the catalogue; {_hint(name.lower(), catalogue)}")


def _hint(name: str, catalogue: dict[str, Entry]) -> str:
    """The names that come nearest; part of a name or of a title is near, too."""
    near = difflib.get_close_matches(name, catalogue, n=3, cutoff=0.6)
    near += [n for n, entry in catalogue.items() if n not in near and len(name) > 2 and name in f"{n} {entry.title.lower()}"]
    return f"did you mean {' or '.join(near[:3])}?" if near else "`mpifl data list` shows them"


def _entries() -> Iterator[Entry]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, fields in load_yaml(path.read_text(encoding="utf-8")).items():
            yield Entry.model_validate({"name": name, **fields})
