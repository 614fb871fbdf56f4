"""CIFAR-10 and CIFAR-100, and the layouts in which they are published."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mpifl.errors import InputError

PUBLISHED = (
    "cifar-10-batches-bin",
    "cifar-100-binary",
    "cifar-10-batches-py",
    "cifar-100-python",
)
"""Folders of the published archives."""


@dataclass(frozen=True)
class Kind:
    """CIFAR-10 or CIFAR-100, with its numbers of classes and of coarse classes (0: none).

    ``mean`` and ``deviation`` are those of its train images by channel, pixels from 0 to 1, by
    ``source``.
    """

    name: str
    classes: int
    coarse: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    source: str


# Deviations are those of all pixels of a channel. 0.2023, 0.1994, 0.2010, often seen with CIFAR-10,
# are the means of each image's deviation.
CIFAR10 = Kind(
    "cifar10",
    10,
    0,
    (0.4914, 0.4822, 0.4465),
    (0.2470, 0.2435, 0.2616),
    "github.com/kuangliu/pytorch-cifar, issue 19",
)
CIFAR100 = Kind(
    "cifar100",
    100,
    20,
    (0.5071, 0.4865, 0.4409),
    (0.2673, 0.2564, 0.2762),
    "github.com/weiaicunzai/pytorch-cifar100",
)


@dataclass(frozen=True)
class Layout:
    """The file names of one way in which CIFAR is stored.

    ``train`` is a regular expression, with a group for the number of a batch if there are several.
    ``names`` is the file of the classes' names, "" if there is none.
    """

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


def find_layout(folder: Path) -> tuple[Path, Layout]:
    """Return the folder of the files, and their layout.

    Raise InputError if there are no files of CIFAR, or more than one set of them.
    """
    candidates = [
        (place, layout)
        for place in (folder, *(folder / name for name in PUBLISHED))
        if place.is_dir()
        for layout in LAYOUTS
        if train_files(place, layout.train)
    ]
    if len(candidates) == 1:
        return candidates[0]

    if not candidates:
        raise InputError(
            f"{folder}: no train files of CIFAR:"
            " data_batch_1.bin, train.bin, data_batch_1, train or data_batch_1.png"
        )
    first_files = (str(train_files(place, layout.train)[0]) for place, layout in candidates)
    raise InputError(
        f"{folder}: CIFAR more than once ({', '.join(first_files)}): name the folder of one"
    )


def train_files(folder: Path, pattern: str) -> list[Path]:
    """Return the train files, sorted by their number."""
    numbered = []
    for path in folder.iterdir():
        match = re.fullmatch(pattern, path.name)
        if match and path.is_file():
            numbered.append((int(match[1]) if match.groups() else 0, path))
    return [path for _, path in sorted(numbered)]
