"""Folders of image files. Their paths give the label, and the client if there are clients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.folders import files_below
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.labels import Classes
from mpifl.datasets.importers.moments import NORMALISE_HELP, Moments, Normalise
from mpifl.datasets.importers.patterns import (
    CLIENT_HELP,
    FOLDER_OF_LABEL,
    LABEL_HELP,
    matched_group,
    with_group,
)
from mpifl.datasets.importers.pictures import GREY_HELP, SIZE_HELP, height_and_width, picture
from mpifl.datasets.importers.streams import CHUNK_BYTES
from mpifl.datasets.store import Store
from mpifl.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".webp", ".tif", ".tiff")
PARTS = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


class Images(Importer):
    """Folders of image files: the folder below SOURCE names the class, or --label-pattern does.

    A path is SOURCE/class/file.png. If SOURCE's only folders are train, test and valid (val,
    validation), or some of them with train, they are the parts. Hidden files are skipped, and files
    whose names do not end as images do. Without --client-pattern all samples belong to one client
    "all", and a partitioner of the job distributes them.
    """

    label_pattern: Annotated[str, with_group("label")] = Field(
        FOLDER_OF_LABEL, description=LABEL_HELP
    )
    client_pattern: Annotated[str | None, with_group("client")] = Field(
        None, description=CLIENT_HELP
    )
    size: str = Field("", description=SIZE_HELP)
    grey: bool = Field(False, description=GREY_HELP)
    normalise: Normalise = Field("standard", description=f"by channel: {NORMALISE_HELP}")

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read in two passes: the classes from the train files' paths, then the images."""
        parts = _parts(sources)
        classes = self._classes(parts["train"])
        shape = self._shape(parts["train"])
        moments = Moments(None if self.grey else 1)
        count = max(1, CHUNK_BYTES // int(np.prod(shape)))

        with ThreadPoolExecutor() as pool:
            for part, roots in parts.items():
                files = _files(roots)
                while block := list(itertools.islice(files, count)):
                    paths = [root / below for root, below in block]
                    x = np.stack(list(pool.map(lambda path: self._image(path, shape), paths)))
                    labels = np.array(
                        [matched_group(self.label_pattern, "label", below) for _, below in block]
                    )
                    if part == "train":
                        moments.add(x)
                    clients = self._clients(block)
                    y = classes.numbers(labels, paths)
                    store.add(part, clients, x, y, where=str(paths[0].parent))
                if not store.samples(part):
                    raise _no_images(roots[0])

        scale, shift = moments.scaling(self.normalise, np.dtype(np.uint8))
        height, width = shape[-2:]
        name = sources["train"][0].resolve().name
        resized = "resized to " if self.size else ""
        grey = ", grey" if self.grey else ""
        return Description(
            name=name,
            outputs=len(classes.values),
            source=f"images of {name}, {resized}{height}x{width}{grey}, features: {self.normalise}",
            licence="as its source says",
            feature_scale=scale,
            feature_shift=shift,
            labels=classes.names,
        )

    def _classes(self, roots: list[Path]) -> Classes:
        labels = {matched_group(self.label_pattern, "label", below) for _, below in _files(roots)}
        if not labels:
            raise _no_images(roots[0])
        return Classes(np.array(sorted(labels)))

    def _clients(self, block: list[tuple[Path, str]]) -> str | list[str]:
        if self.client_pattern is None:
            return "all"
        return [matched_group(self.client_pattern, "client", below) for _, below in block]

    def _shape(self, roots: list[Path]) -> tuple[int, ...]:
        """Return the shape of a sample: that of --size, or else that of the first image."""
        size = height_and_width(self.size, "--size")
        if size is None:
            root, below = next(_files(roots))
            return picture(root / below, None, self.grey, str(root / below)).shape
        return size if self.grey else (3, *size)

    def _image(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """Return one image as bytes of ``shape``.

        Of an animation the first frame is taken. Transparency is ignored.
        """
        size = shape[-2:] if self.size else None
        image = picture(path, size, self.grey, str(path))
        if image.shape != shape:
            own, first = (f"{sides[-2]}x{sides[-1]}" for sides in (image.shape, shape))
            raise InputError(
                f"{path}: {own}, the first image is {first}: all need one size, or --size"
            )
        return image


def _no_images(folder: Path) -> InputError:
    return InputError(f"{folder}: no images there; their names end in {', '.join(ENDINGS)}")


def _parts(sources: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Return the folders of each part.

    Raise InputError if a source is no folder, or if a part has two folders.
    """
    for path in itertools.chain(*sources.values()):
        if not path.is_dir():
            raise InputError(f"{path}: no such folder")

    first = sources["train"][0]
    subfolders = {
        path.name for path in first.iterdir() if path.is_dir() and not path.name.startswith(".")
    }
    # a class may be called train, so that all folders have to be parts
    is_split = "train" in subfolders and subfolders <= PARTS.keys()
    if len(sources["train"]) > 1 or not is_split:
        return dict(sources)

    parts: dict[str, list[Path]] = {}
    for name, part in PARTS.items():
        if (first / name).is_dir():
            parts.setdefault(part, []).append(first / name)
    for part, folders in parts.items():
        given = [*folders, *(sources.get("test", []) if part == "test" else [])]
        if len(given) > 1:
            names = ", ".join(map(str, given))
            raise InputError(f"{first}: several folders for the {part} part: {names}")
    return {**sources, **parts}


def _files(roots: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each root with the paths of the images below it."""
    yield from files_below(roots, ENDINGS)
