"""Folders of image files: the label, and where there are clients the client too, stands in a file's path."""

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
from mpifl.datasets.importers.patterns import group_of, has_group
from mpifl.datasets.importers.pictures import height_and_width, picture
from mpifl.datasets.importers.streams import CHUNK_BYTES
from mpifl.datasets.store import Store
from mpifl.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".webp", ".tif", ".tiff")
FOLDER_OF_LABEL = r"^(?P<label>[^/]+)/[^/]+$"
PARTS = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation", "test": "test"}


class Images(Importer):
    """Folders of image files: the folder below SOURCE names the class (SOURCE/class/file.png), or --label-pattern does.

    Where SOURCE's only folders are train, test and valid (val, validation), or some of them with train, they are the parts.
    Files whose names do not end as images do, and hidden ones, are passed over. Without --client-pattern all samples belong to
    one client "all", and a partitioner of the job deals them out.
    """

    label_pattern: str = Field(FOLDER_OF_LABEL, description="regular expression with a group label, on the path below SOURCE")
    client_pattern: str | None = Field(None, description="regular expression with a group client, on the path below SOURCE")
    size: str = Field("", description="HxW: resize each image to this height and width (bilinear); all need one size without")
    grey: bool = Field(False, description="one channel: samples (height, width) instead of (3, height, width)")
    normalise: Normalise = Field(
        "standard", description="by channel: mean 0 and deviation 1 over train; 0 to 1; or as they are"
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
        """See Importer. Two passes: the classes by the train files' paths, and then the images."""
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
                    labels = np.array([group_of(self.label_pattern, "label", below) for _, below in block])
                    if part == "train":
                        moments.add(x)
                    store.add(part, self._clients(block), x, classes.numbers(labels, paths), where=str(paths[0].parent))
                if not store.samples(part):
                    raise _none(roots[0])
        scale, shift = moments.scaling(self.normalise, np.dtype(np.uint8))
        height, width = shape[-2:]
        return Description(
            name=sources["train"][0].resolve().name,
            outputs=len(classes.values),
            source=f"images of {sources['train'][0].resolve().name}, {'resized to ' if self.size else ''}{height}x{width}"
            f"{', grey' if self.grey else ''}, features: {self.normalise}",
            licence="as its source says",
            feature_scale=scale,
            feature_shift=shift,
            labels=classes.names,
        )

    def _classes(self, roots: list[Path]) -> Classes:
        found = {group_of(self.label_pattern, "label", below) for _, below in _files(roots)}
        if not found:
            raise _none(roots[0])
        return Classes(np.array(sorted(found)))

    def _clients(self, block: list[tuple[Path, str]]) -> str | list[str]:
        if self.client_pattern is None:
            return "all"
        return [group_of(self.client_pattern, "client", below) for _, below in block]

    def _shape(self, roots: list[Path]) -> tuple[int, ...]:
        """The shape of a sample: of --size, or as the first image is."""
        size = height_and_width(self.size, "--size")
        if size is None:
            root, below = next(_files(roots))
            return picture(root / below, None, self.grey, str(root / below)).shape
        return size if self.grey else (3, *size)

    def _image(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """One image as bytes of ``shape``. Of one that moves it is the first frame; what is transparent keeps its colour."""
        found = picture(path, shape[-2:] if self.size else None, self.grey, str(path))
        if found.shape != shape:
            sides = [f"{one[-2]}x{one[-1]}" for one in (found.shape, shape)]
            raise InputError(f"{path}: {sides[0]}, the first image is {sides[1]}: all need one size, or --size")
        return found


def _none(folder: Path) -> InputError:
    return InputError(f"{folder}: no images there; their names end in {', '.join(ENDINGS)}")


def _parts(sources: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """The folders of each part. Raises InputError when one is none, or a part is there twice."""
    for path in itertools.chain(*sources.values()):
        if not path.is_dir():
            raise InputError(f"{path}: no such folder")
    first = sources["train"][0]
    inside = {path.name for path in first.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if len(sources["train"]) > 1 or "train" not in inside or not inside <= PARTS.keys():  # a class may be called train
        return dict(sources)
    found: dict[str, list[Path]] = {}
    for name, part in PARTS.items():
        if (first / name).is_dir():
            found.setdefault(part, []).append(first / name)
    for part, folders in found.items():
        given = [*folders, *(sources.get("test", []) if part == "test" else [])]
        if len(given) > 1:
            raise InputError(f"{first}: the {part} part is there twice: {', '.join(map(str, given))}")
    return {**sources, **found}


def _files(roots: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each root with the paths of its images below it."""
    yield from files_below(roots, ENDINGS)
