"""Folders of image files. Their paths give the label, and the client if there are clients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.folders import files_below
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.labels import Classes
from mpifl.datasets.importers.moments import Moments, Normalise
from mpifl.datasets.importers.patterns import has_group, matched_group
from mpifl.datasets.importers.pictures import height_and_width, picture
from mpifl.datasets.importers.streams import CHUNK_BYTES
from mpifl.datasets.store import Store
from mpifl.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".webp", ".tif", ".tiff")
FOLDER_OF_LABEL = r"^(?P<label>[^/]+)/[^/]+$"
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

    label_pattern: str = Field(
        FOLDER_OF_LABEL,
        description="regular expression with a group label, on the path below SOURCE",
    )
    client_pattern: str | None = Field(
        None, description="regular expression with a group client, on the path below SOURCE"
    )
    size: str = Field(
        "",
        description="HxW: resize each image to this height and width (bilinear);"
        " all need one size without",
    )
    grey: bool = Field(
        False,
        description="one channel: samples (height, width) instead of (3, height, width)",
    )
    normalise: Normalise = Field(
        "standard",
        description="by channel: mean 0 and deviation 1 over train; 0 to 1; or unchanged",
    )

    @field_validator("label_pattern")
    @classmethod
    def _names_label(cls, pattern: str) -> str:
        return has_group(pattern, "label")

    @field_validator("client_pattern")
    @classmethod
    def _names_client(cls, pattern: str | None) -> str | None:
        return pattern and has_group(pattern, "client")

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
