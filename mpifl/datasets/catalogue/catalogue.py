"""The entries of the catalogue: published figures, sources and importers of federated data sets.

The entries are in the YAML files of this folder, one file for each kind of data. Every figure names
the place where it was published.
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
Importer = Literal[
    "qmnist",
    "idx",
    "cifar",
    "images",
    "fedscale",
    "leaf",
    "tff",
    "csv",
    "svmlight",
    "wav",
    "text",
    "npz",
]
Others = Literal[
    Importer,
    "coco",
    "dicom",
    "huggingface",
    "jsonl",
    "nifti",
    "parquet",
    "sizes",
    "webdataset",
]


@dataclass(frozen=True)
class Count:
    """A number as it was printed.

    ``671585`` is exact; ``640K`` and ``1.3M`` are rounded, or cut off, at their last digit.
    """

    text: str

    FORM = re.compile(r"(\d+)(?:\.(\d+))?([KM]?)")

    @classmethod
    def of(cls, value: Any) -> Any:
        """Return the Count of an int or of a text like ``1.3M``; leave other types to pydantic."""
        if isinstance(value, int) and value >= 0:
            return cls(f"{value:,}")
        if isinstance(value, str):
            if cls.FORM.fullmatch(value) and not value.isdigit():
                return cls(value)
            raise ValueError("a count is a whole number, or a rounded one such as 640K or 1.3M")
        return value

    def __contains__(self, number: int) -> bool:
        """Return whether ``number``, rounded or cut off, gives this count."""
        match = self.FORM.fullmatch(self.text.replace(",", ""))
        assert match is not None
        whole = match[1]
        decimals = match[2] or ""
        unit = match[3]
        if not unit:
            return number == int(whole)

        step = {"K": 1_000, "M": 1_000_000}[unit] // 10 ** len(decimals)  # value of the last digit
        above = number - int(whole + decimals) * step
        # Some papers round and some cut off: 135,818,730 is printed as 135M.
        return -step <= 2 * above < 2 * step


class Figures(Section):
    """The numbers of clients and samples of a part.

    ``either``: the source does not say whether it counts train or all parts.
    """

    part: Literal["train", "validation", "test", "all", "either"]
    clients: Annotated[Count | None, BeforeValidator(Count.of)] = None
    samples: Annotated[Count | None, BeforeValidator(Count.of)] = None


class Published(Section):
    """The figures, if any, of one place: a paper, or the data set's own documentation (``source``).

    ``place`` names the table or page.
    """

    paper: Literal["fedscale", "fedml", "flower", "leaf", "source"]
    place: str
    figures: tuple[Figures, ...] = ()


class Download(Section):
    """A file that anybody may download. SHA-256 (hexadecimal) and bytes are None where unknown."""

    url: str = Field(pattern=r"^https?://\S+$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(default=None, gt=0)

    @property
    def name(self) -> str:
        """The file name: the last part of the address's path."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])


class Entry(Section):
    """One data set.

    ``client_key`` says what a client is in the source; it is None where a partitioner has to make
    clients. ``importer`` is None where no importer reads the data set, and ``reason`` says why;
    ``also`` are other importers that read it. ``layout`` is what the importer expects on disk.
    ``by_hand`` are the steps to obtain it where ``download`` is empty. ``then`` are the steps
    between download and import. In both ``{folder}`` stands for the folder of the files.
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
    def _check_complete(self) -> Self:
        if (self.importer is None) != bool(self.reason):
            raise ValueError("give either an importer, or the reason why there is none")
        if (self.importer is None) == bool(self.layout):
            raise ValueError("give a layout where there is an importer, and only there")
        if bool(self.download) == bool(self.by_hand):
            raise ValueError("give either files to download, or what to do by hand")
        return self

    @property
    def papers(self) -> tuple[str, ...]:
        """The papers that list the data set, in the order of PAPERS."""
        listed = {source.paper for source in self.published}
        return tuple(paper for paper in PAPERS if paper in listed)


@functools.cache
def read_catalogue() -> dict[str, Entry]:
    """Return all entries by name, sorted.

    The files are part of mpifl: a wrong one is a defect, not an InputError.
    """
    entries = sorted(_entries(), key=lambda entry: entry.name)
    by_name = {entry.name: entry for entry in entries}
    assert len(by_name) == len(entries), "a name occurs twice in the catalogue"
    return by_name


def find_entry(name: str) -> Entry:
    """Return the entry of a name. Raises InputError with the most similar names."""
    catalogue = read_catalogue()
    if name in catalogue:
        return catalogue[name]
    raise InputError(f"{name}: no such data set in the catalogue; {_hint(name.lower(), catalogue)}")


def _hint(name: str, catalogue: dict[str, Entry]) -> str:
    """Return a hint with similar names; names and titles that contain ``name`` are similar, too."""
    similar = difflib.get_close_matches(name, catalogue, n=3, cutoff=0.6)
    if len(name) > 2:
        similar += [
            known
            for known, entry in catalogue.items()
            if known not in similar and name in f"{known} {entry.title.lower()}"
        ]

    if similar:
        return f"did you mean {' or '.join(similar[:3])}?"
    return "`mpifl data list` shows the names"


def _entries() -> Iterator[Entry]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, fields in load_yaml(path.read_text(encoding="utf-8")).items():
            yield Entry.model_validate({"name": name, **fields})
