"""COCO's annotations of detection: pictures with boxes around what is in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.coco_json import Annotations, Image, read_annotations
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import NORMALISE_HELP, Normalise
from mpifl.datasets.importers.patterns import (
    Pattern,
    check_test_found,
    check_test_pattern,
    client_name,
    with_group,
)
from mpifl.datasets.importers.pictures import GREY_HELP, SIZE_HELP, height_and_width, pictures
from mpifl.datasets.store import Store
from mpifl.errors import InputError, counted
from mpifl.io.files import read_errors

AT_ONCE = 64  # pictures


class Coco(Importer):
    """COCO's detection: SOURCE is ANNOTATIONS.json and the folder of its images.

    Targets are the boxes of each image, as the objective detection takes them; boxes of crowds
    (iscrowd) are left out. Classes are the categories in the order of their ids. Images without
    boxes are kept. A test part is found by --test-pattern, or given as a second pair of sources:
    --test ANNOTATIONS.json --test IMAGES. Without a client all samples belong to one client "all",
    and a partitioner of the job distributes them.
    """

    client: str = Field("", description="name of the value in an image's entry that is the client")
    client_pattern: Annotated[str | None, with_group("client")] = Field(
        None,
        description="regular expression with a group client: on the value of --client, or without"
        " it on the image's file name",
    )
    test_pattern: Pattern = Field(
        "", description="regular expression: images in whose file name it is found are the test"
    )
    boxes: int = Field(
        0, ge=0, description="most boxes of an image; others are refused (default: as many as any)"
    )
    size: str = Field("", description=SIZE_HELP)
    grey: bool = Field(False, description=GREY_HELP)
    normalise: Normalise = Field("standard", description=NORMALISE_HELP)

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read the annotations of all parts, of which the boxes are held, then the images."""
        check_test_pattern(self.test_pattern, sources)
        size = height_and_width(self.size, "--size")
        parts = {part: _pair(paths, part) for part, paths in sources.items()}
        read = {part: read_annotations(path) for part, (path, _) in parts.items()}
        for part, (path, _) in parts.items():
            if read[part].categories != read["train"].categories:
                raise InputError(f"{path}: its categories are not those of {parts['train'][0]}")
        most = max(1, *(self._most(own, parts[part][0]) for part, own in read.items()))

        features = Features(self.normalise)
        for part, own in read.items():
            path, folder = parts[part]
            for own_part, run in itertools.groupby(own.images, partial(self._part, part)):
                while block := list(itertools.islice(run, AT_ONCE)):
                    files = [_file(folder, image, path) for image in block]
                    x = pictures([*files], size, self.grey, [str(file) for file in files])
                    features.learn(own_part, x)
                    y = np.stack([own.targets(image, most) for image in block])
                    clients = [self._client(image, path) for image in block]
                    store.add(own_part, clients, x, y, where=str(path))
        check_test_found(self.test_pattern, store, "file name")

        train = read["train"]
        scale, shift = features.scaling
        flat = sum(own.flat for own in read.values())
        without = f"; {counted(flat, 'box')} without area left out" if flat else ""
        return Description(
            name=parts["train"][0].name.partition(".")[0],
            outputs=len(train.categories),
            source=f"{parts['train'][0].name} as COCO's: at most {counted(most, 'box')} an"
            f" image{without}; client {self.client_pattern or self.client or 'none'}",
            licence="as its source says",
            task="detection",
            feature_scale=scale,
            feature_shift=shift,
            labels=np.array([name.encode() for name in train.categories.values()], "S"),
        )

    def _part(self, part: str, image: Image) -> str:
        return "test" if self.test_pattern and re.search(self.test_pattern, image.file) else part

    def _most(self, annotations: Annotations, path: Path) -> int:
        """Return how many boxes an image has at most. Raise InputError for more than --boxes."""
        if not self.boxes:
            return annotations.most
        for image in annotations.images:
            own = len(annotations.boxes.get(image.key, ()))
            if own > self.boxes:
                raise InputError(f"{path}: {image.file}: {own} boxes; --boxes is {self.boxes}")
        return self.boxes

    def _client(self, image: Image, path: Path) -> str:
        value = self._value(image, path) if self.client else None
        return client_name(self.client_pattern, image.file, value, f"{path}: {image.file}")

    def _value(self, image: Image, path: Path) -> str:
        """Return what an image's entry has as --client. Raise InputError."""
        value = image.entry.get(self.client)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            names = ", ".join(image.entry)
            raise InputError(
                f"--client: {self.client!r}: {path}: {image.file} has no such number or text; it"
                f" has {names}"
            )
        return str(value)


def _pair(paths: list[Path], part: str) -> tuple[Path, Path]:
    """Return annotations and folder of a part. Raise InputError."""
    what = "SOURCE" if part == "train" else "--test"
    if len(paths) != 2 or not paths[0].is_file() or not paths[1].is_dir():
        given = " ".join(map(str, paths))
        raise InputError(f"{what}: {given}: expected two: ANNOTATIONS.json and the images' folder")
    return paths[0], paths[1]


def _file(folder: Path, image: Image, path: Path) -> Path:
    """Return the file of an image, which has to have the size that its entry says.

    Raise InputError, also for a name that leads out of the folder: annotations are not trusted.
    """
    from PIL import Image as Pictures

    below = Path(image.file)
    file = folder / below
    if below.is_absolute() or ".." in below.parts:
        raise InputError(f"{path}: file_name {image.file!r}; allowed are names below {folder}")
    if not file.is_file():
        raise InputError(f"{file}: no such file, but {path} names it")
    with read_errors(file), Pictures.open(file) as picture:
        own = picture.size
    if own != (image.width, image.height):
        raise InputError(
            f"{file}: {own[0]} wide and {own[1]} high; {path} says {image.width} and {image.height}"
        )
    return file
