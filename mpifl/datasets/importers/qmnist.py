"""QMNIST by writer: MNIST's images and who wrote each (Yadav and Bottou 2019, arXiv 1905.10498)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.idx_file import WRITER_COLUMN, open_idx, qmnist_rows
from mpifl.datasets.importers.importer import Importer, one_folder
from mpifl.datasets.importers.streams import CHUNK_BYTES
from mpifl.datasets.store import Store
from mpifl.errors import InputError

LABEL_COLUMN = 0
# of MNIST's train pixels, from 0 to 1
MEAN = 0.1307
DEVIATION = 0.3081


class Qmnist(Importer):
    """A folder of MNIST's idx files with QMNIST's writers: 539 to train, 297 others to test.

    Needs MNIST's ``train-images-idx3-ubyte`` and ``t10k-images-idx3-ubyte`` and QMNIST's
    ``qmnist-train-labels-idx2-int`` and ``qmnist-test-labels-idx2-int``, plain or gzipped. Row k of
    QMNIST's labels holds class and writer of MNIST image k. Its test labels beyond MNIST's 10,000
    images are left out.
    """

    finds_test: ClassVar[bool] = True

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        folder = one_folder(sources)
        for part, images, labels in (
            ("train", "train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"),
            ("test", "t10k-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
        ):
            _read_part(part, _find(folder, images), _find(folder, labels), store)

        return Description(
            name="qmnist",
            outputs=10,
            source="MNIST images with QMNIST's writers",
            licence="BSD-3-Clause (QMNIST); MNIST as its source says",
            feature_scale=1 / (255 * DEVIATION),
            feature_shift=-MEAN / DEVIATION,
        )


def _read_part(part: str, path: Path, labels: Path, store: Store) -> None:
    images = open_idx(path)
    if len(images.shape) != 3 or images.kept != np.uint8:
        raise InputError(
            f"{path}: {images.shape} of {images.stored}; images are bytes of three dimensions"
        )
    rows = max(1, CHUNK_BYTES // images.row_bytes)
    label_blocks = qmnist_rows(labels, images.shape[0], rows)
    for x, block in zip(images.blocks(rows), label_blocks, strict=True):
        y = block[:, LABEL_COLUMN].astype(np.int64)
        store.add(part, block[:, WRITER_COLUMN], x, y, where=str(path))


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise InputError(f"{folder}: no {name} or {name}.gz there")
