"""COCO's JSON of detection: images, categories and the boxes of annotations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ijson
import numpy as np

from mpifl.datasets.importers.streams import json_errors, opened
from mpifl.errors import InputError
from mpifl.io.files import read_errors

NONE = (-1.0, 0.0, 0.0, 0.0, 0.0)
"""Of a place for a box where there is none."""
END = object()


@dataclass(frozen=True)
class Image:
    """An image: its id, file name and size in pixels, and its entry with all else."""

    key: int | str
    file: str
    width: int
    height: int
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Annotations:
    """What one file says.

    ``categories`` are the names by id, sorted by id. ``boxes`` are those of images by id: class,
    left, top, right and bottom as shares of width and height. ``flat`` counts boxes without area,
    which are left out.
    """

    images: list[Image]
    categories: dict[int, str]
    boxes: dict[int | str, list[tuple[float, ...]]]
    flat: int

    @property
    def most(self) -> int:
        """How many boxes an image has at most."""
        return max(map(len, self.boxes.values()), default=0)

    def targets(self, image: Image, most: int) -> np.ndarray:
        """Return the boxes of an image, (5 * most,) float32."""
        own = self.boxes.get(image.key, [])
        return np.array([*own, *[NONE] * (most - len(own))], np.float32).reshape(-1)


def read_annotations(path: Path) -> Annotations:
    """Read a file in three passes, entry by entry. Raise InputError naming the entry."""
    categories = _categories(path)
    numbers = {key: number for number, key in enumerate(categories)}
    images = _images(path)
    boxes: dict[int | str, list[tuple[float, ...]]] = {}
    flat = 0
    for where, entry in _entries(path, "annotations"):
        image = images.get(_value(entry, "image_id", (int, str), where))
        if image is None:
            raise InputError(f"{where}: image_id {entry['image_id']!r} is that of no image")
        kind = _value(entry, "category_id", (int,), where)
        if kind not in numbers:
            raise InputError(f"{where}: category_id {kind} is that of no category")
        if entry.get("iscrowd"):
            continue
        sides = _sides(entry, image, where)
        if sides[0] < sides[2] and sides[1] < sides[3]:
            boxes.setdefault(image.key, []).append((float(numbers[kind]), *sides))
        else:
            flat += 1
    return Annotations(list(images.values()), categories, boxes, flat)


def _categories(path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for where, entry in _entries(path, "categories"):
        key = _value(entry, "id", (int,), where)
        if key in names:
            raise InputError(f"{where}: id {key} is there already")
        names[key] = _value(entry, "name", (str,), where)
    if not names:
        raise InputError(f"{path}: no categories; expected COCO's JSON of detection")
    return dict(sorted(names.items()))


def _images(path: Path) -> dict[int | str, Image]:
    images: dict[int | str, Image] = {}
    for where, entry in _entries(path, "images"):
        key = _value(entry, "id", (int, str), where)
        if key in images:
            raise InputError(f"{where}: id {key!r} is there already")
        width, height = (_value(entry, name, (int,), where) for name in ("width", "height"))
        if min(width, height) < 1:
            raise InputError(f"{where}: {width} wide and {height} high")
        images[key] = Image(key, _value(entry, "file_name", (str,), where), width, height, entry)
    if not images:
        raise InputError(f"{path}: no images; expected COCO's JSON of detection")
    return images


def _sides(entry: Mapping[str, Any], image: Image, where: str) -> tuple[float, ...]:
    """Return left, top, right and bottom as shares of the image, none beyond its sides."""
    box = entry.get("bbox")
    numbers = box if isinstance(box, list) else []
    if len(numbers) != 4 or not all(type(number) in (int, float) for number in numbers):
        raise InputError(f"{where}: bbox {str(box)[:80]}; expected [left, top, width, height]")
    left, top, width, height = map(float, numbers)
    shares = np.array([left, top, left + width, top + height]) / ((image.width, image.height) * 2)
    if not np.isfinite(shares).all():
        raise InputError(f"{where}: bbox {str(box)[:80]}; expected finite numbers")
    return tuple(np.clip(shares, 0, 1).tolist())


def _entries(path: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of one list of the file, each with its place for messages."""
    with opened(path) as stream:
        entries = ijson.items(stream.file, f"{name}.item", use_float=True)
        for number in itertools.count():
            with read_errors(path), json_errors(path):
                entry = next(entries, END)
            if entry is END:
                return
            where = f"{path}: {name}[{number}]"
            if not isinstance(entry, dict):
                raise InputError(f"{where}: {str(entry)[:40]!r}; expected an object")
            yield where, entry


def _value(entry: Mapping[str, Any], key: str, kinds: tuple[type, ...], where: str) -> Any:
    """Return a value of an entry. Raise InputError unless it is of one of the types."""
    value = entry.get(key)
    if type(value) not in kinds or value == "":
        wanted = " or ".join({int: "a whole number", str: "a text"}[kind] for kind in kinds)
        raise InputError(f"{where}: {key} is {str(value)[:40]!r}; expected {wanted}")
    return value
