"""LEAF's benchmark (Caldas et al., arXiv 1812.01097): JSON files of users with their samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.leaf_json import users_of
from mpifl.datasets.importers.leaf_kinds import Celeba, Femnist, Kind, Synthetic, description
from mpifl.datasets.importers.leaf_texts import Reddit, Sent140, Shakespeare
from mpifl.datasets.importers.numbered import Numbered
from mpifl.datasets.importers.options import refuse_others
from mpifl.datasets.importers.pictures import height_and_width
from mpifl.datasets.store import Store
from mpifl.errors import InputError

FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
TAKEN: dict[str, set[str]] = {
    "femnist": set(),
    "shakespeare": set(),
    "synthetic": {"shape", "classes"},
    "sent140": {"vocabulary", "length"},
    "reddit": {"vocabulary", "length"},
    "celeba": {"images", "size"},
}
"""By kind, the options that not every kind takes."""


class Leaf(Importer):
    """LEAF's JSON: files of users, or LEAF's data folder with train and test (and val) in it.

    Each user is a client. femnist: pixels as bytes, from 0 to 1. shakespeare: 80 characters, and
    the next one is the class. sent140: the first words of a tweet. reddit: comments, whose next
    word is predicted. celeba: names of images in --images, pixels from 0 to 1. synthetic: any
    vectors of numbers with classes from 0 (FedProx' and FedML's MNIST and synthetic data too).
    """

    kind: Literal["femnist", "shakespeare", "sent140", "reddit", "celeba", "synthetic"] = Field(
        description="which of LEAF's data sets it is"
    )
    images: Path | None = Field(None, description="celeba: the folder of the images")
    size: str = Field(
        "84x84",
        description="celeba: HxW: resize each image (bilinear); LEAF's models take 84x84",
    )
    vocabulary: int = Field(
        10_000,
        ge=3,
        description="sent140, reddit: maximum number of token ids, from the train part",
    )
    length: int | None = Field(
        None,
        ge=0,
        description="sent140: words of a tweet (25, as LEAF);"
        " reddit: input tokens of a sample (0: a whole comment; LEAF: 10)",
    )
    shape: str = Field("", description="synthetic: the shape of a sample, such as 28x28")
    classes: int = Field(
        0, ge=0, description="synthetic: number of classes (0: that of the train part)"
    )
    skip_empty: bool = Field(
        False, description="leave out users without samples, instead of refusing them"
    )

    @field_validator("shape")
    @classmethod
    def _is_shape(cls, shape: str) -> str:
        if shape and not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
            raise ValueError("lengths with x between, such as 28x28 or 3x32x32")
        return shape

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        kind = self._kind()
        files = _files(sources)
        kind = kind.learn(
            lambda: ((location, x) for location, _, x, _ in self._users(files["train"], kind))
        )

        classes = Numbered(kind.outputs or self.classes)
        for part in (part for part in FOLDERS if part in files):
            for location, user, x, y in self._users(files[part], kind):
                samples, labels = kind.samples(x, y, location)
                numbers = None if labels is None else classes.check(part, labels, location)
                store.add(part, user, samples, numbers, where=location)

        # "synthetic" is the layout of many data sets; the other kinds are one data set each
        name: str = self.kind
        if self.kind == "synthetic":
            name = sources["train"][0].resolve().stem
        return description(kind, name, classes.outputs)

    def _kind(self) -> Kind:
        refuse_others(self, TAKEN, self.kind, "--kind is")
        if self.kind == "celeba":
            if self.images is None or not self.images.is_dir():
                raise InputError(
                    f"--images: {self.images}: no such folder;"
                    " celeba needs the folder of its images"
                )
            return Celeba(images=self.images, size=height_and_width(self.size, "--size"))
        if self.kind == "synthetic":
            return Synthetic(shape=tuple(map(int, self.shape.split("x"))) if self.shape else ())

        words = 25 if self.length is None else self.length
        makers: dict[str, Callable[[], Kind]] = {
            "femnist": Femnist,
            "shakespeare": Shakespeare,
            "sent140": lambda: Sent140(size=self.vocabulary, length=words),
            "reddit": lambda: Reddit(size=self.vocabulary, length=self.length or 0),
        }
        return makers[self.kind]()

    def _users(
        self, files: list[Path], kind: Kind
    ) -> Iterator[tuple[str, str, list[Any], list[Any]]]:
        """Yield location, name, samples and labels of the users of a part.

        Raise InputError if two files have the same user.
        """
        seen: dict[str, Path] = {}
        for path in files:
            users = users_of(path, skip_empty=self.skip_empty, all_counted=kind.counted)
            for name, x, y in users:
                if name in seen:
                    raise InputError(f"{path}: user {name!r} is already in {seen[name]}")
                seen[name] = path
                yield f"{path}: user {name!r}", name, x, y


def _files(sources: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Return the JSON files of each part."""
    train = sources["train"]
    parts = {"train": train}
    if len(train) == 1 and train[0].is_dir():
        for root in (train[0], train[0] / "data"):
            if (root / "train").is_dir():
                folders = {
                    part: [root / name for name in names if (root / name).is_dir()]
                    for part, names in FOLDERS.items()
                }
                parts = {part: paths for part, paths in folders.items() if paths}
                break

    if "test" in sources:
        if "test" in parts:
            raise InputError(
                f"--test: {sources['test'][0]}: {parts['test'][0]} is a test part already;"
                " give --test or that folder"
            )
        parts["test"] = sources["test"]
    return {part: [file for path in paths for file in _json(path)] for part, paths in parts.items()}


def _json(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.json"))
    if not files:
        raise InputError(
            f"{path}: no *.json there, nor a folder train;"
            " LEAF's layout is train/*.json and test/*.json"
        )
    return files
