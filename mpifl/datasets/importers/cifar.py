"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): binary files, Python's pickles, or sheets of PNG."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer, one_folder
from mpifl.datasets.importers.streams import CHUNK_BYTES, opened, text_lines
from mpifl.datasets.store import Store
from mpifl.errors import InputError
from mpifl.io.hdf5 import hdf5_errors
from mpifl.io.restricted_pickle import read_pickle

PIXELS = 3 * 32 * 32
ROWS = CHUNK_BYTES // PIXELS
PUBLISHED = ("cifar-10-batches-bin", "cifar-100-binary", "cifar-10-batches-py", "cifar-100-python")
"""Folders of the published archives."""


@dataclass(frozen=True)
class Kind:
    """CIFAR-10 or CIFAR-100. ``mean`` and ``deviation``: of its train images by channel, pixels from 0 to 1, by ``source``."""

    name: str
    classes: int
    coarse: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    source: str


# Deviations are those of all pixels of a channel; 0.2023, 0.1994, 0.2010, often seen with CIFAR-10, are means of each image's.
CIFAR10 = Kind(
    "cifar10", 10, 0, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), "github.com/kuangliu/pytorch-cifar, issue 19"
)
CIFAR100 = Kind(
    "cifar100", 100, 20, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), "github.com/weiaicunzai/pytorch-cifar100"
)

Block = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Samples (count, 3, 32, 32) uint8, classes (count,) int64, coarse classes (count,) int64 or None."""


@dataclass(frozen=True)
class Layout:
    """One way in which CIFAR lies on disk: the names of its files, of ``train`` a pattern in which a batch has a number."""

    kind: Kind
    train: str
    test: str
    names: str
    form: str


LAYOUTS = (
    Layout(CIFAR10, r"data_batch_(\d+)\.bin", "test_batch.bin", "batches.meta.txt", "binary"),
    Layout(CIFAR100, r"train\.bin", "test.bin", "fine_label_names.txt", "binary"),
    Layout(CIFAR10, r"data_batch_(\d+)", "test_batch", "batches.meta", "pickle"),
    Layout(CIFAR100, r"train", "test", "meta", "pickle"),
    Layout(CIFAR10, r"data_batch_(\d+)\.png", "test_batch.png", "", "sheets"),
)


class Cifar(Importer):
    """CIFAR-10 or CIFAR-100 in one folder, or in the only folder of a published archive below it.

    Takes the binary version (data_batch_1.bin, test_batch.bin; train.bin, test.bin), the Python version (data_batch_1,
    test_batch; train, test) and sheets (data_batch_1.png, test_batch.png: one row an image, with train_lables.json and
    test_lables.json). All samples belong to one client "all", and a partitioner of the job deals them out.
    """

    finds_test: ClassVar[bool] = True

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer. What is held at once is a chunk; of a pickle or a sheet all of the file."""
        folder, layout = _find(one_folder(sources))
        kind, read = layout.kind, _READERS[layout.form]
        train = _batches(folder, layout.train)
        for part, paths in (("train", train), ("test", [folder / layout.test] if (folder / layout.test).exists() else [])):
            for path in paths:
                for x, y, coarse in read(path, kind):
                    _check(path, y, kind.classes)
                    if coarse is not None:
                        _check(path, coarse, kind.coarse)
                    store.add(part, "all", x, y, coarse, where=str(path))
        mean, deviation = (np.array(values)[:, None, None] for values in (kind.mean, kind.deviation))
        return Description(
            name=kind.name,
            outputs=kind.classes,
            source=f"{kind.name}: {', '.join(path.name for path in train)}; features by channel mean {kind.mean},"
            f" deviation {kind.deviation} ({kind.source})",
            licence="none stated; its authors ask that their report be cited",
            feature_scale=(1 / (255 * deviation)).astype(np.float32),
            feature_shift=(-mean / deviation).astype(np.float32),
            labels=_names(folder / layout.names, layout),
        )


def _find(folder: Path) -> tuple[Path, Layout]:
    """The folder where the files lie, and their layout. Raises InputError when there is none, or more than one."""
    found = [
        (place, layout)
        for place in (folder, *(folder / name for name in PUBLISHED))
        if place.is_dir()
        for layout in LAYOUTS
        if _batches(place, layout.train)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{folder}: no train files of CIFAR: data_batch_1.bin, train.bin, data_batch_1, train or data_batch_1.png"
        )
    raise InputError(
        f"{folder}: CIFAR more than once ({', '.join(str(_batches(place, layout.train)[0]) for place, layout in found)}):"
        " name the folder of one"
    )


def _batches(folder: Path, pattern: str) -> list[Path]:
    """The train files by number."""
    found = [(name, path) for path in folder.iterdir() if (name := re.fullmatch(pattern, path.name)) and path.is_file()]
    return [path for _, path in sorted((int(name[1]) if name.groups() else 0, path) for name, path in found)]


def _check(path: Path, labels: np.ndarray, classes: int) -> None:
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise InputError(f"{path}: label {labels[int(np.argmax(wrong))]}; allowed: 0 to {classes - 1}")


def _images(flat: np.ndarray) -> np.ndarray:
    return flat.reshape(-1, 3, 32, 32)


def _binary(path: Path, kind: Kind) -> Iterator[Block]:
    """Records of a byte for the class (CIFAR-100: before it one for the coarse class) and 3,072 for pixels, by channel."""
    columns = 2 if kind.coarse else 1
    size = path.stat().st_size
    if size == 0 or size % (columns + PIXELS):
        raise InputError(f"{path}: {size} bytes; must be records of {columns + PIXELS} bytes each")
    with opened(path) as stream:
        for start in range(0, size // (columns + PIXELS), ROWS):
            count = min(ROWS, size // (columns + PIXELS) - start)
            records = np.frombuffer(stream.take(count * (columns + PIXELS)), np.uint8).reshape(count, -1)
            labels = records[:, :columns].astype(np.int64)
            yield _images(records[:, columns:]), labels[:, -1], labels[:, 0] if kind.coarse else None


def _pickled(path: Path, kind: Kind) -> Iterator[Block]:
    """A dictionary with "data" (count, 3072) uint8 and "labels", or "fine_labels" and "coarse_labels"; keys may be bytes."""
    held = _dictionary(path)
    data = held.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        raise InputError(f"{path}: 'data' has to be an array (samples, {PIXELS}) of uint8")
    columns = [
        _label_column(path, held, key, len(data)) for key in (("fine_labels", "coarse_labels") if kind.coarse else ("labels",))
    ]
    for start in range(0, len(data), ROWS):
        rows = slice(start, start + ROWS)
        yield _images(data[rows]), columns[0][rows], columns[1][rows] if kind.coarse else None


def _dictionary(path: Path) -> dict[str, Any]:
    held = read_pickle(path, python2="bytes")
    if not isinstance(held, dict):
        raise InputError(f"{path}: a {type(held).__name__}; must be a dictionary")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in held.items()}


def _label_column(path: Path, held: dict[str, Any], key: str, count: int) -> np.ndarray:
    labels = held.get(key)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise InputError(f"{path}: {key!r} has to be a list of whole numbers")
    if len(labels) != count:
        raise InputError(f"{path}: {len(labels)} {key} for {count} images")
    return np.array(labels, np.int64)


def _sheet(path: Path, kind: Kind) -> Iterator[Block]:
    """Each row the 32 x 32 RGB pixels of an image; sheet k of n rows has the labels from (k - 1) n on of all sheets'."""
    part = "test" if path.name.startswith("test") else "train"
    number = int(re.findall(r"\d+", path.stem)[0]) if part == "train" else 1
    with hdf5_errors(path), Image.open(path) as image:
        if image.size[0] != 1024 or image.mode != "RGB":
            raise InputError(f"{path}: {image.size[0]} pixels a row of mode {image.mode}; an image is a row of 1024 RGB pixels")
        image.load()
        first, labels = (number - 1) * image.size[1], _sheet_labels(path.parent, part)
        if number < 1 or len(labels) < first + image.size[1] or (part == "test" and len(labels) != image.size[1]):
            raise InputError(f"{path}: rows {first} to {first + image.size[1]}; {part}_lables.json has {len(labels)} labels")
        for start in range(0, image.size[1], ROWS):
            stop = min(start + ROWS, image.size[1])
            rows = np.asarray(image.crop((0, start, 1024, stop)))
            yield _images(rows.transpose(0, 2, 1)), labels[first + start : first + stop], None


def _sheet_labels(folder: Path, part: str) -> np.ndarray:
    for name in (f"{part}_lables.json", f"{part}_labels.json"):
        path = folder / name
        if path.is_file():
            with hdf5_errors(path):
                labels = json.loads(path.read_bytes())
            if not isinstance(labels, list) or not all(type(label) is int for label in labels):
                raise InputError(f"{path}: must be a list of whole numbers")
            return np.array(labels, np.int64)
    raise InputError(f"{folder}: no {part}_lables.json (or {part}_labels.json) there")


_READERS = {"binary": _binary, "pickle": _pickled, "sheets": _sheet}


def _names(path: Path, layout: Layout) -> np.ndarray:
    """The names of the classes, where their file is there. Raises InputError when it does not name each."""
    if not layout.names or not path.is_file():
        return np.empty(0, "S1")
    if layout.form == "pickle":
        names = _dictionary(path).get("fine_label_names" if layout.kind.coarse else "label_names")
        if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
            raise InputError(f"{path}: no list of names of classes")
    else:
        names = [line for _, line in text_lines(path) if line]
    if len(names) != layout.kind.classes:
        raise InputError(f"{path}: {len(names)} names; must be {layout.kind.classes}")
    return np.array([name.encode() if isinstance(name, str) else name for name in names], "S")
